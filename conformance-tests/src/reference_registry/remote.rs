//! The control handle of a registry that runs as a process of its own: the same words, through its control port.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{
    CaseView, Counts, Step,
    evidence::Received,
    faults::{Call, Fault},
};

/// The log of 10,000 calls takes about 8 MiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Control over a registry through its control port. Cheap to clone; each call opens a connection of its own.
#[derive(Debug, Clone)]
pub struct RemoteControl {
    address: SocketAddr,
}

impl RemoteControl {
    /// A handle to the control port at that address; nothing is called yet.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Orders faults, one for each of the coming calls of this kind, behind those ordered before.
    ///
    /// # Errors
    /// The port can't be reached.
    pub async fn order(&self, call: Call, faults: &[Fault]) -> anyhow::Result<()> {
        let order = json!({ "call": call, "faults": faults });
        self.call::<Value>(Method::POST, "/faults", Some(order)).await.map(drop)
    }

    /// Takes back every fault that no call has met.
    ///
    /// # Errors
    /// The port can't be reached.
    pub async fn clear_orders(&self) -> anyhow::Result<()> {
        self.call::<Value>(Method::DELETE, "/faults", None).await.map(drop)
    }

    /// Lets every call go on that meets [`Fault::Hold`] at this moment.
    ///
    /// # Errors
    /// The port can't be reached.
    pub async fn release(&self) -> anyhow::Result<()> {
        self.call::<Value>(Method::POST, "/release", None).await.map(drop)
    }

    /// Makes one case take a step, and tells its status then.
    ///
    /// # Errors
    /// There is no such case, or it does not stand where the step begins, or the port can't be reached.
    pub async fn advance(&self, case_id: &str, step: Step) -> anyhow::Result<String> {
        let asked = json!({ "case_id": case_id, "step": step });
        let told: Value = self.call(Method::POST, "/advance", Some(asked)).await?;
        Ok(told["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Makes every case take the step that stands where it begins, and tells how many did.
    ///
    /// # Errors
    /// The port can't be reached.
    pub async fn advance_all(&self, step: Step) -> anyhow::Result<u64> {
        let told: Value =
            self.call(Method::POST, "/advance", Some(json!({ "step": step }))).await?;
        Ok(told["advanced"].as_u64().unwrap_or_default())
    }

    /// From now on the registry's account of what it enters has one party list filled from the other; or no longer.
    ///
    /// # Errors
    /// The port can't be reached.
    pub async fn mix_up_parties(&self, mixes_up: bool) -> anyhow::Result<()> {
        let asked = json!({ "parties": mixes_up });
        self.call::<Value>(Method::POST, "/mix-up", Some(asked)).await.map(drop)
    }

    /// Takes the registry down: it stops listening, and every connection is cut.
    ///
    /// # Errors
    /// The port can't be reached.
    pub async fn down(&self) -> anyhow::Result<()> {
        self.call::<Value>(Method::POST, "/down", None).await.map(drop)
    }

    /// Brings it up again at the same address, with all it knew.
    ///
    /// # Errors
    /// Somebody else took the address meanwhile, or the port can't be reached.
    pub async fn up(&self) -> anyhow::Result<()> {
        self.call::<Value>(Method::POST, "/up", None).await.map(drop)
    }

    /// How often what happened.
    ///
    /// # Errors
    /// The port can't be reached.
    pub async fn counts(&self) -> anyhow::Result<Counts> {
        self.call(Method::GET, "/counts", None).await
    }

    /// Waits until that many calls of `Submit` have arrived, and gives the counts. Waits for ever if they never do.
    ///
    /// # Errors
    /// The port can't be reached.
    pub async fn when_submits(&self, submits: u64) -> anyhow::Result<Counts> {
        self.call(Method::GET, &format!("/counts?submits={submits}"), None).await
    }

    /// All cases, in order of submission.
    ///
    /// # Errors
    /// The port can't be reached.
    pub async fn cases(&self) -> anyhow::Result<Vec<CaseView>> {
        self.call(Method::GET, "/cases", None).await
    }

    /// The last 10,000 calls, oldest first.
    ///
    /// # Errors
    /// The port can't be reached.
    pub async fn received(&self) -> anyhow::Result<Vec<Received>> {
        self.call(Method::GET, "/received", None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<T> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("reach the control port at {}", self.address))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, self.address.to_string())
            .body(Full::new(Bytes::from(body)))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let read = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = read.map_err(|reason| anyhow::anyhow!(reason))?.to_bytes();
        if !status.is_success() {
            bail!("{path}: {}", String::from_utf8_lossy(&bytes));
        }
        serde_json::from_slice(&bytes).with_context(|| format!("answer to {path}"))
    }
}
