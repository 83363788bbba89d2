//! Which files and rules a context is made from.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use conf::{ServerConfig, TlsAuthClients};

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The file of the certificate, and of those that lead to an authority.
    pub cert: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
    /// The password that the key is encrypted with.
    pub pass: Option<Vec<u8>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("cert", &self.cert)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    No,
    /// They need one.
    #[default]
    Yes,
    /// One that is shown has to be good.
    Optional,
}

/// What a context is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Who we are to those that connect.
    pub server: Option<Identity>,
    /// Who we are to those that we connect to; otherwise the same.
    pub client: Option<Identity>,
    /// A file of trusted certificates.
    pub ca_file: Option<PathBuf>,
    /// A folder of files of trusted certificates.
    pub ca_dir: Option<PathBuf>,
    /// Whether clients show a certificate.
    pub auth_clients: ClientAuth,
    /// Others are known by their certificates: trusted ones have to be there.
    pub has_peers: bool,
    /// `tls-protocols`: a list of versions.
    pub protocols: Option<String>,
    /// `tls-ciphers`: the suites of TLS 1.2, as OpenSSL lists them.
    pub ciphers: Option<String>,
    /// `tls-ciphersuites`: those of TLS 1.3.
    pub ciphersuites: Option<String>,
    /// The server's order of suites counts.
    pub prefer_server_ciphers: bool,
    /// How many sessions are remembered, and for how many seconds.
    pub sessions: Option<(usize, u64)>,
}

fn path(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn identity(
    cert: Option<&Vec<u8>>,
    key: Option<&Vec<u8>>,
    pass: Option<&Vec<u8>>,
) -> Option<Identity> {
    Some(Identity {
        cert: path(cert?),
        // Missed by name when the context is made.
        key: key.map(|key| path(key)).unwrap_or_default(),
        pass: pass.cloned(),
    })
}

impl Settings {
    /// Whether anything of these directives needs certificates.
    #[must_use]
    pub fn are_wanted(config: &ServerConfig) -> bool {
        config.tls_port > 0 || config.tls_replication || config.tls_cluster
    }

    /// What a server's directives ask for.
    #[must_use]
    pub fn of(config: &ServerConfig) -> Self {
        let sessions = (
            usize::try_from(config.tls_session_cache_size).unwrap_or(usize::MAX),
            u64::from(config.tls_session_cache_timeout),
        );
        let client = config.tls_client_key_file.as_ref().and_then(|key| {
            identity(
                config.tls_client_cert_file.as_ref(),
                Some(key),
                config.tls_client_key_file_pass.as_ref(),
            )
        });
        Self {
            server: identity(
                config.tls_cert_file.as_ref(),
                config.tls_key_file.as_ref(),
                config.tls_key_file_pass.as_ref(),
            ),
            client,
            ca_file: config.tls_ca_cert_file.as_deref().map(path),
            ca_dir: config.tls_ca_cert_dir.as_deref().map(path),
            auth_clients: match config.tls_auth_clients {
                TlsAuthClients::No => ClientAuth::No,
                TlsAuthClients::Yes => ClientAuth::Yes,
                TlsAuthClients::Optional => ClientAuth::Optional,
            },
            has_peers: config.tls_cluster || config.tls_replication,
            protocols: config.tls_protocols.as_deref().map(text),
            ciphers: config.tls_ciphers.as_deref().map(text),
            ciphersuites: config.tls_ciphersuites.as_deref().map(text),
            prefer_server_ciphers: config.tls_prefer_server_ciphers,
            sessions: config.tls_session_caching.then_some(sessions),
        }
    }
}
