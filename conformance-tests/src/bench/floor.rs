//! The floor: a server of the gateway's own crates that only forwards bytes over the same two hops of mutual TLS.
//!
//! It takes a length-prefixed message, sends it unchanged as one unary call over one kept-open HTTP/2 connection, and
//! answers with the same reply every time. It reads no message, keeps no ledger and traces nothing: what is left is
//! what nobody who connects these two protocols can avoid.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use adapters::wire::Prefix;
use anyhow::{Context, bail};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, server::TlsStream};
use tonic::{
    Request,
    client::Grpc,
    transport::{Channel, Endpoint, Uri},
};
use tonic_prost::ProstCodec;

use super::upstream::FORWARD;

/// The two hops, and what is said on them.
#[derive(Debug)]
pub struct Floor {
    /// Towards banks.
    pub server: Arc<rustls::ServerConfig>,
    /// Towards the upstream.
    pub client: Arc<rustls::ClientConfig>,
    /// Where the upstream is.
    pub upstream: SocketAddr,
    /// How messages are framed.
    pub prefix: Prefix,
    /// The answer to everything, framing included.
    pub reply: Bytes,
}

impl Floor {
    /// Serves until `end`. Tells its address in one line.
    ///
    /// # Errors
    /// No port, or an address that is none.
    pub async fn serve(
        self,
        end: impl Future<Output = ()>,
        mut say: impl FnMut(&str),
    ) -> anyhow::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        say(&listener.local_addr()?.to_string());
        let acceptor = TlsAcceptor::from(Arc::clone(&self.server));
        let channel = self.channel()?;
        let mut end = pin!(end);
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted.context("accept")?;
                    stream.set_nodelay(true)?;
                    let (acceptor, grpc) = (acceptor.clone(), Grpc::new(channel.clone()));
                    let (prefix, reply) = (self.prefix, self.reply.clone());
                    tokio::spawn(async move {
                        forward(acceptor.accept(stream).await?, grpc, prefix, &reply).await
                    });
                }
                () = &mut end => return Ok(()),
            }
        }
    }

    /// As the gateway's own towards a registry.
    fn channel(&self) -> anyhow::Result<Channel> {
        let (upstream, connector) = (self.upstream, TlsConnector::from(Arc::clone(&self.client)));
        let name = ServerName::try_from("localhost")?;
        Ok(Endpoint::from_shared(format!("http://{upstream}"))?.connect_with_connector_lazy(
            tower::service_fn(move |_: Uri| {
                let (connector, name) = (connector.clone(), name.clone());
                async move {
                    let stream = TcpStream::connect(upstream).await?;
                    stream.set_nodelay(true)?;
                    connector.connect(name, stream).await.map(TokioIo::new)
                }
            }),
        ))
    }
}

/// Forwards one connection's messages, until the other side closes it.
async fn forward(
    mut stream: TlsStream<TcpStream>,
    mut grpc: Grpc<Channel>,
    prefix: Prefix,
    reply: &[u8],
) -> anyhow::Result<()> {
    loop {
        let mut message = vec![0; prefix.length()];
        if stream.read_exact(&mut message).await.is_err() {
            return Ok(());
        }
        let body = prefix.body_length(&message)?;
        if body > 1 << 20 {
            bail!("a message of {body} bytes");
        }
        message.resize(prefix.length() + body, 0);
        stream.read_exact(message.get_mut(prefix.length()..).unwrap_or_default()).await?;
        grpc.ready().await?;
        let path = http::uri::PathAndQuery::from_static(FORWARD);
        let codec = ProstCodec::<Bytes, ()>::default();
        grpc.unary(Request::new(Bytes::from(message)), path, codec).await?;
        stream.write_all(reply).await?;
        stream.flush().await?;
    }
}
