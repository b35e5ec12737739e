//! Length-prefixed messages over TLS: one after another on a connection that stands, each answered before the next is
//! read.
//!
//! What cannot be read to its end is answered in the bank's own envelope, and the connection closed: after a broken
//! frame nobody knows where the next begins.

use std::{io, sync::Arc, time::Duration};

use adapters::wire::Prefix;
use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use super::{Account, BankPort, BankStay, Desk, Place};
use crate::{
    contracts::Door,
    exchange::{Answer, AnswerKind, TransportFault},
    identity::VerifiedBank,
    limits::Limits,
    telemetry::TurnedAway,
    tls::Protocol,
};

/// Serves one connection to its end.
pub(super) async fn serve<D: Desk>(
    port: Arc<BankPort<D>>,
    stream: TlsStream<TcpStream>,
    bank: VerifiedBank,
    account: Arc<Account>,
    stay: BankStay,
) {
    if agreed(&port, &bank).is_none() {
        tracing::warn!(
            institution = bank.id(),
            "a connection was closed: the contract has no length prefix"
        );
        return port.metrics.turned_away(Protocol::Tcp, TurnedAway::WrongPort);
    }
    let mut line = Line { stream, came: BytesMut::new() };
    match converse(&port, &mut line, &bank, &account, &stay).await {
        Ok(left) => line.hang_up(left, &port.limits).await,
        Err(error) => tracing::debug!(institution = bank.id(), %error, "a connection broke"),
    }
}

/// What was agreed on for the institution's next message, and its prefix.
fn agreed<D: Desk>(port: &BankPort<D>, bank: &VerifiedBank) -> Option<(D::Agreed, Prefix)> {
    let agreed = port.desk.agreed(bank, Door::Tcp).ok()?;
    let prefix = agreed.as_ref().prefix?;
    Some((agreed, prefix))
}

/// Hears and answers messages until the bank hangs up, one cannot be read, or it is told to leave.
///
/// # Errors
/// The connection broke; there is nobody to tell.
async fn converse<D: Desk>(
    port: &BankPort<D>,
    line: &mut Line,
    bank: &VerifiedBank,
    account: &Account,
    stay: &BankStay,
) -> io::Result<Left> {
    loop {
        let begun = tokio::select! {
            biased;
            begun = line.begin(port.limits.idle_max) => begun?,
            () = stay.leaving() => return Ok(Left::Nothing),
        };
        if !begun {
            return Ok(Left::Nothing);
        }
        // Asked for every message: the connection may stand for longer than a version is in force.
        let Some((agreed, prefix)) = agreed(port, bank) else {
            tracing::warn!(
                institution = bank.id(),
                "a connection was closed: the contract has no length prefix any more"
            );
            return Ok(Left::Unread);
        };
        let heard = line.message(prefix, account, &port.limits).await?;
        // Kept until the answer is taken.
        let (answer, left, _place) = match heard {
            Heard::Whole(message, place) => {
                (port.answer(bank, agreed, message).await, Left::Nothing, Some(place))
            }
            // Decoding it gives LENGTH_MISMATCH, with what else the bank's envelope wants.
            Heard::Broken(bytes, place) => {
                (port.answer(bank, agreed, bytes).await, Left::Unread, Some(place))
            }
            Heard::Refused(fault, left) => (Some(port.desk.refuse(&agreed, fault)), left, None),
        };
        match answer {
            Some(Answer { bytes, kind: AnswerKind::Outcome | AnswerKind::Refusal }) => {
                line.say(&bytes, port.limits.answer_max).await?;
            }
            Some(Answer { kind: AnswerKind::None, .. }) | None => {
                tracing::error!(
                    institution = bank.id(),
                    "a connection was closed: no answer could be written"
                );
                return Ok(Left::Nothing);
            }
        }
        if left == Left::Unread {
            return Ok(left);
        }
    }
}

/// What a conversation leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing the bank has sent, as far as is known.
    Nothing,
    /// The rest of a message that was not read to its end.
    Unread,
}

/// A connection and what has come on it that is not read yet.
struct Line {
    stream: TlsStream<TcpStream>,
    came: BytesMut,
}

/// Room kept for the next message while a connection idles: most come in one read then.
const MESSAGE_BYTES_USUAL: usize = 4 * 1024;

/// What came of reading a message.
enum Heard {
    /// A message, its prefix included.
    Whole(Bytes, Place),
    /// What there is of one: its prefix is none, or the bank hung up inside it.
    Broken(Bytes, Place),
    /// Nothing of it is kept; what is left of it is still to come, or has come and gone.
    Refused(TransportFault, Left),
}

impl Line {
    /// Waits for the first byte of a message; false if none comes before `idle_max` or the bank's hanging up.
    async fn begin(&mut self, idle_max: Duration) -> io::Result<bool> {
        if !self.came.is_empty() {
            return Ok(true);
        }
        self.came.reserve(MESSAGE_BYTES_USUAL);
        match timeout(idle_max, self.stream.read_buf(&mut self.came)).await {
            Ok(Ok(0)) | Err(_) => Ok(false),
            Ok(Ok(_)) => Ok(true),
            // Banks' stacks often close without TLS's own goodbye; between messages nothing is lost by it.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Ok(Err(error)) => Err(error),
        }
    }

    /// Reads the rest of a message that has begun. It has a place before more than its prefix is kept.
    async fn message(
        &mut self,
        prefix: Prefix,
        account: &Account,
        limits: &Limits,
    ) -> io::Result<Heard> {
        let length = match self.until(prefix.length(), limits.header_max).await? {
            Until::There => prefix.body_length(&self.came).ok(),
            Until::HungUp => None,
            Until::Late => return Ok(Heard::Refused(TransportFault::TooSlow, Left::Unread)),
        };
        if length.is_some_and(|bytes| bytes > limits.body_bytes_max) {
            let fault = TransportFault::TooLarge { limit: limits.body_bytes_max };
            return Ok(Heard::Refused(fault, Left::Unread));
        }
        let whole = length.map(|bytes| prefix.length().saturating_add(bytes));
        match (account.enter(), whole) {
            (Ok(place), None) => Ok(Heard::Broken(self.came.split().freeze(), place)),
            (Ok(place), Some(whole)) => match self.until(whole, limits.body_max).await? {
                Until::There => Ok(Heard::Whole(self.came.split_to(whole).freeze(), place)),
                Until::HungUp => Ok(Heard::Broken(self.came.split().freeze(), place)),
                Until::Late => Ok(Heard::Refused(TransportFault::TooSlow, Left::Unread)),
            },
            (Err(busy), None) => Ok(Heard::Refused(TransportFault::Busy(busy), Left::Unread)),
            // The next one is behind it.
            (Err(busy), Some(whole)) => match self.pass_over(whole, limits.body_max).await? {
                Until::There => Ok(Heard::Refused(TransportFault::Busy(busy), Left::Nothing)),
                Until::HungUp => Ok(Heard::Refused(TransportFault::Busy(busy), Left::Unread)),
                Until::Late => Ok(Heard::Refused(TransportFault::TooSlow, Left::Unread)),
            },
        }
    }

    /// Reads until `bytes` have come in all.
    async fn until(&mut self, bytes: usize, time_max: Duration) -> io::Result<Until> {
        self.came.reserve(bytes.max(MESSAGE_BYTES_USUAL).saturating_sub(self.came.len()));
        let reading = async {
            while self.came.len() < bytes {
                match self.stream.read_buf(&mut self.came).await {
                    Ok(0) => return Ok(Until::HungUp),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        return Ok(Until::HungUp);
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(Until::There)
        };
        timeout(time_max, reading).await.unwrap_or(Ok(Until::Late))
    }

    /// Reads so many bytes, keeping none of them.
    async fn pass_over(&mut self, mut bytes: usize, time_max: Duration) -> io::Result<Until> {
        let reading = async {
            loop {
                let here = bytes.min(self.came.len());
                self.came.advance(here);
                bytes = bytes.saturating_sub(here);
                if bytes == 0 {
                    return Ok(Until::There);
                }
                match self.until(1, time_max).await? {
                    Until::There => {}
                    ended @ (Until::HungUp | Until::Late) => return Ok(ended),
                }
            }
        };
        timeout(time_max, reading).await.unwrap_or(Ok(Until::Late))
    }

    async fn say(&mut self, bytes: &[u8], time_max: Duration) -> io::Result<()> {
        let saying = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(time_max, saying)
            .await
            .map_err(|late| io::Error::new(io::ErrorKind::TimedOut, late))?
    }

    /// Says goodbye. Where something is left unread it is read on for a while, keeping nothing: closing on what is still
    /// being sent would take the last answer with it.
    async fn hang_up(mut self, left: Left, limits: &Limits) {
        let mut bytes_left =
            if left == Left::Unread { limits.body_bytes_max.saturating_mul(4) } else { 0 };
        let parting = async {
            self.stream.shutdown().await?;
            while bytes_left > 0 {
                self.came.clear();
                self.came.reserve(MESSAGE_BYTES_USUAL);
                match self.stream.read_buf(&mut self.came).await? {
                    0 => break,
                    bytes => bytes_left = bytes_left.saturating_sub(bytes),
                }
            }
            Ok::<_, io::Error>(())
        };
        // However it goes, the connection ends here.
        let _parted = timeout(limits.header_max, parting).await;
    }
}

/// How waiting for bytes ended.
enum Until {
    There,
    HungUp,
    Late,
}
