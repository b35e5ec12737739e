//! Why a store could not do something, in words for operators.
//!
//! A database that refuses a row says which: in the detail of its error stand the row's values, a filing's amount among them,
//! and in the words for a value that it cannot read stands the value. Here only what it refused, and by which rule.

use std::{error::Error, fmt, iter, sync::Arc};

use tokio_postgres::error::DbError;

/// What a store or its driver said. All that is told of it is told by this; nobody asks it for a source.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    pub(super) fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(cause.into()))
    }

    pub(super) fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: &(dyn Error + 'static) = &*self.0;
        let causes = iter::successors(Some(first), |cause| (*cause).source());
        let told = causes.map(|cause| match cause.downcast_ref::<DbError>() {
            Some(refused) => without_values(refused),
            None => cause.to_string(),
        });
        out.write_str(&told.collect::<Vec<_>>().join(": "))
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Error for Cause {}

/// Without detail and hint; and, where the server quotes the value it could not read, without its words. Source:
/// postgresql.org, "PostgreSQL Error Codes", class 22.
fn without_values(refused: &DbError) -> String {
    let (severity, code) = (refused.severity(), refused.code().code());
    match code.starts_with("22") {
        true => format!("{severity} {code}"),
        false => format!("{severity} {code}: {}", refused.message()),
    }
}
