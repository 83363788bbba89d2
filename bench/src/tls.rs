//! TLS for a comparison: a certificate that lives as long as the run, and sockets that speak through it or as they are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context, Result};
use mio::event::Source;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

/// The name in the certificate.
const NAME: &str = "localhost";

/// A certificate for the servers, and what a client needs that trusts no other.
#[derive(Debug, Clone)]
pub struct Tls {
    folder: Arc<TempDir>,
    client: Arc<ClientConfig>,
}

impl Tls {
    /// Makes a certificate and its key.
    ///
    /// # Errors
    ///
    /// The files cannot be written.
    pub fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("certificate"), made.cert.pem())?;
        std::fs::write(folder.path().join("key"), made.signing_key.serialize_pem())?;
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from(made.cert))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        Ok(Tls {
            folder: Arc::new(folder),
            client: Arc::new(client),
        })
    }

    /// The arguments with which a server speaks TLS at `port`.
    #[must_use]
    pub fn server_args(&self, port: u16) -> Vec<String> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let args = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", file("certificate")),
            ("--tls-key-file", file("key")),
            ("--tls-ca-cert-file", file("certificate")),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        args.into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }

    /// Shakes hands on a connection that blocks.
    ///
    /// # Errors
    ///
    /// The server does not speak TLS, or shows another certificate.
    pub fn shake_hands(
        &self,
        mut socket: TcpStream,
    ) -> Result<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from(NAME)?;
        let mut session = ClientConnection::new(Arc::clone(&self.client), name)?;
        session
            .complete_io(&mut socket)
            .context("the handshake of TLS")?;
        Ok(StreamOwned::new(session, socket))
    }
}

/// A connection of the load, which does not block.
#[derive(Debug)]
pub enum Socket {
    /// Bytes as they are.
    Plain(mio::net::TcpStream),
    /// Bytes in records of TLS.
    Tls(Box<StreamOwned<ClientConnection, mio::net::TcpStream>>),
}

impl Socket {
    /// What the poll watches.
    pub fn source(&mut self) -> &mut impl Source {
        match self {
            Socket::Plain(socket) => socket,
            Socket::Tls(stream) => &mut stream.sock,
        }
    }

    /// Whether a read that does not fill its buffer has emptied the socket: records are read one by one.
    #[must_use]
    pub fn reads_all_at_once(&self) -> bool {
        matches!(self, Socket::Plain(_))
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Socket::Plain(socket) => socket.read(buffer),
            Socket::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Socket::Plain(socket) => socket.write(bytes),
            Socket::Tls(stream) => stream.write(bytes),
        }
    }

    /// Sends the records that the socket did not take.
    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Socket::Plain(socket) => socket.flush(),
            Socket::Tls(stream) => stream.flush(),
        }
    }
}
