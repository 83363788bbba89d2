//! An authority for tests, and the certificates that it signs.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use tls::{ClientSide, Identity, Settings};

/// An authority, and a folder of what it has signed.
pub struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new authority; its certificate is `ca.crt`. It has signed `server` and `client`.
    #[must_use]
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.crt"), certificate.pem()).unwrap();
        let authority = Self {
            dir,
            issuer: Issuer::new(params, key),
        };
        authority.sign("server", "Server", &[]);
        authority.sign("client", "Client", &[]);
        authority
    }

    /// Signs a certificate of this common name and these URIs: `NAME.crt`, and `NAME.key`.
    pub fn sign(&self, name: &str, common_name: &str, uris: &[&str]) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        for uri in uris {
            let uri = SanType::URI((*uri).try_into().unwrap());
            params.subject_alt_names.push(uri);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.crt")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// A file in its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The directives with which a server shows `server`, and believes who shows what this authority has signed.
    #[must_use]
    pub fn directives(&self) -> String {
        let dir = self.dir.path().display();
        format!(
            "tls-cert-file {dir}/server.crt\ntls-key-file {dir}/server.key\ntls-ca-cert-file {dir}/ca.crt\n"
        )
    }

    /// A client that shows this certificate, or none.
    #[must_use]
    pub fn side(&self, name: Option<&str>) -> ClientSide {
        let client = name.map(|name| Identity {
            cert: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
            pass: None,
        });
        let settings = Settings {
            client,
            ca_file: Some(self.path("ca.crt")),
            ..Settings::default()
        };
        ClientSide::new(&settings, false, None).unwrap()
    }
}
