//! What is wrong with certificates, keys and rules.

use std::path::PathBuf;

/// Why there is no context.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server needs a certificate.
    #[error("No tls-cert-file configured!")]
    NoCertificate,
    /// A certificate needs its key.
    #[error("No tls-key-file configured!")]
    NoKey,
    /// Who asks others for certificates has to know whom to believe.
    #[error(
        "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication or tls-auth-clients are enabled!"
    )]
    NoAuthority,
    /// A certificate that cannot be read or used.
    #[error("Failed to load certificate: {}: {reason}", path.display())]
    Certificate {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key that cannot be read or used.
    #[error("Failed to load private key: {}: {reason}", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Trusted certificates that cannot be read or used.
    #[error("Failed to configure CA certificate(s) file/directory: {}: {reason}", path.display())]
    Authority {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A version that is not spoken.
    #[error(
        "Invalid tls-protocols specified: '{name}'. Use a combination of 'TLSv1.2' and 'TLSv1.3'; older versions are not offered."
    )]
    Protocol {
        /// What was asked for.
        name: String,
    },
    /// No cipher suite is left.
    #[error("Failed to configure {directive}: {list}: {reason}")]
    Ciphers {
        /// The directive.
        directive: &'static str,
        /// What was asked for.
        list: String,
        /// What is wrong.
        reason: String,
    },
    /// What rustls refuses.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}
