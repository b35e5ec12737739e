//! What the templates of a contract have in common, held once: names and codecs, for the same tag stands in every message
//! of a bank; paths and homes, for all banks speak of one model. A gateway holds hundreds of contracts.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use super::{Name, Named, Worded};
use crate::{
    codec::{CodeTable, Codec},
    path::{Homes, Path, Pick, Start},
};

/// Needed while a contract is compiled; what it has given out stays with whoever holds it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    texts: RefCell<HashSet<Arc<str>>>,
    names: RefCell<HashMap<Box<str>, Vec<Name>>>,
    paths: RefCell<Paths>,
    codecs: RefCell<HashMap<Box<str>, Arc<Worded>>>,
}

/// By where they start and how they are written; those of different subjects are of different fields.
type Paths = HashMap<(Start, Box<str>), Vec<Arc<Path>>>;

/// By subject.
type AllHomes = HashMap<Option<Box<str>>, Arc<Homes>>;

/// What is said of the model alone is the same in every contract, and there is only so much to be said.
static PATHS: LazyLock<Mutex<Paths>> = LazyLock::new(Mutex::default);
static HOMES: LazyLock<Mutex<AllHomes>> = LazyLock::new(Mutex::default);

impl Shared {
    /// A text.
    pub(crate) fn text(&self, text: &str) -> Arc<str> {
        let mut texts = self.texts.borrow_mut();
        if let Some(known) = texts.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = Arc::from(text);
        texts.insert(Arc::clone(&text));
        text
    }

    /// A name.
    pub(crate) fn name(&self, written: &str, namespace: Option<&str>) -> Name {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names
            .get(written)
            .and_then(|alike| alike.iter().find(|known| known.namespace.as_deref() == namespace))
        {
            return known.clone();
        }
        let named = Named { written: written.into(), namespace: namespace.map(Into::into) };
        let name = Name(Arc::new(named));
        names.entry(written.into()).or_default().push(name.clone());
        name
    }

    /// A path.
    pub(crate) fn path(&self, path: Path) -> Arc<Path> {
        let numbered = |pick: &Pick| matches!(pick, Pick::Numbered(_));
        if numbered(&path.pick) || path.steps.iter().any(|step| numbered(&step.pick)) {
            return once(&mut self.paths.borrow_mut(), path);
        }
        once(&mut PATHS.lock().unwrap_or_else(PoisonError::into_inner), path)
    }

    /// The homes of a subject.
    ///
    /// # Errors
    /// As [`Homes::new`].
    pub(crate) fn homes(&self, subject: Option<&str>) -> Result<Arc<Homes>, String> {
        let mut homes = HOMES.lock().unwrap_or_else(PoisonError::into_inner);
        let of = subject.map(Box::from);
        if let Some(known) = homes.get(&of) {
            return Ok(Arc::clone(known));
        }
        let new = Arc::new(Homes::new(subject)?);
        homes.insert(of, Arc::clone(&new));
        Ok(new)
    }

    /// The codec that words describe.
    ///
    /// # Errors
    /// As [`Codec::parse`].
    pub(crate) fn codec(
        &self,
        words: &str,
        tables: &BTreeMap<String, Arc<CodeTable>>,
    ) -> Result<Arc<Worded>, String> {
        let mut codecs = self.codecs.borrow_mut();
        if let Some(known) = codecs.get(words) {
            return Ok(Arc::clone(known));
        }
        let worded = Arc::new(Worded { codec: Codec::parse(words, tables)?, words: words.into() });
        codecs.insert(words.into(), Arc::clone(&worded));
        Ok(worded)
    }
}

fn once(paths: &mut Paths, path: Path) -> Arc<Path> {
    let alike = paths.entry((path.start, path.text.clone())).or_default();
    if let Some(known) = alike.iter().find(|known| ***known == path) {
        return Arc::clone(known);
    }
    let path = Arc::new(path);
    alike.push(Arc::clone(&path));
    path
}
