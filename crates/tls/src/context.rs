//! What new sessions are made from.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, IpAddr, Ipv4Addr, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::certificate::public_key;
use crate::sessions::Sessions;
use crate::verify::{ChainOnly, Clients, Themselves};
use crate::{ClientAuth, Error, Facts, Identity, Settings, Summary, ciphers, files};

/// How sessions of those that connect to us begin. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerSide(pub(crate) Arc<ServerConfig>);

/// How sessions with those that we connect to begin. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientSide {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// What new sessions are made from, with the files as they were when it was made.
#[derive(Clone, Debug)]
pub struct Context {
    /// For clients.
    pub clients: ServerSide,
    /// For other servers, which always show a certificate; only where it is known whom to believe.
    pub peers: Option<ServerSide>,
    /// For connections to other servers.
    pub connect: Option<ClientSide>,
    /// Its certificates.
    pub facts: Facts,
    mark: u64,
}

impl Context {
    /// Reads the files and makes a context.
    ///
    /// # Errors
    /// Which file, key or rule cannot be used, and why.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let server = settings.server.as_ref().ok_or(Error::NoCertificate)?;
        let own = certified(server)?;
        let trusted = Trusted::read(settings)?;
        let asks = settings.has_peers || settings.auth_clients != ClientAuth::No;
        if asks && trusted.is_none() {
            return Err(Error::NoAuthority);
        }
        let client = settings.client.as_ref().map(certified).transpose()?;
        let provider = provider(settings)?;
        let builder = Builder {
            settings,
            provider,
            trusted: trusted.as_ref(),
        };
        let shown = client.as_ref().unwrap_or(&own);
        let connect = trusted
            .as_ref()
            .map(|trusted| builder.client(Some(trusted.clone()), Some(shown), None));
        let peers = trusted
            .as_ref()
            .map(|_| builder.server(&own, ClientAuth::Yes));
        let mut mark = DefaultHasher::new();
        for key in [Some(&own), client.as_ref()].into_iter().flatten() {
            key.mark.hash(&mut mark);
        }
        trusted
            .as_ref()
            .map(|trusted| &trusted.certs.0)
            .hash(&mut mark);
        Ok(Self {
            clients: builder.server(&own, settings.auth_clients)?,
            peers: peers.transpose()?,
            connect: connect.transpose()?,
            facts: Facts {
                server: own.summary(),
                client: client.as_ref().and_then(Certified::summary),
                ca: trusted.as_ref().and_then(Trusted::first_to_end),
            },
            mark: mark.finish(),
        })
    }

    /// Whether both were made from the same certificates and keys.
    #[must_use]
    pub fn has_same_files(&self, other: &Self) -> bool {
        self.mark == other.mark
    }
}

impl ClientSide {
    /// For a program that only connects to others. Whom it believes is in the settings; otherwise whom this machine believes.
    /// `insecure`: it believes everybody. `sni`: the name that it asks for.
    ///
    /// # Errors
    /// Which file, key or rule cannot be used, and why.
    pub fn new(settings: &Settings, insecure: bool, sni: Option<&str>) -> Result<Self, Error> {
        let roots = if insecure {
            None
        } else {
            let trusted = Trusted::read(settings)?;
            Some(trusted.map_or_else(system_roots, Ok)?)
        };
        let client = settings.client.as_ref().map(certified).transpose()?;
        let builder = Builder {
            settings,
            provider: provider(settings)?,
            trusted: None,
        };
        builder.client(roots, client.as_ref(), sni)
    }
}

/// A certificate and its key, ready to be shown.
struct Certified {
    shown: Arc<SingleCertAndKey>,
    first: CertificateDer<'static>,
    mark: u64,
}

impl Certified {
    fn summary(&self) -> Option<Summary> {
        Summary::of(&self.first)
    }
}

fn certified(identity: &Identity) -> Result<Certified, Error> {
    let chain = files::chain(&identity.cert)?;
    let key = files::key(identity)?;
    let mut mark = DefaultHasher::new();
    (&chain, key.secret_der()).hash(&mut mark);
    let wrong = |reason| Error::Key {
        path: identity.key.clone(),
        reason,
    };
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|error| wrong(error.to_string()))?;
    let first = chain.first().cloned().ok_or(Error::NoCertificate)?;
    let public = public_key(&first).map_err(|reason| Error::Certificate {
        path: identity.cert.clone(),
        reason,
    })?;
    if key.public_key().is_some_and(|key| *key != *public) {
        return Err(wrong(format!(
            "it is not the key of {}",
            identity.cert.display()
        )));
    }
    Ok(Certified {
        shown: Arc::new(CertifiedKey::new(chain, key).into()),
        first,
        mark: mark.finish(),
    })
}

/// Whom to believe.
#[derive(Clone)]
struct Trusted {
    roots: Arc<RootCertStore>,
    certs: Themselves,
}

impl Trusted {
    /// Those that the settings name; none where they name none.
    fn read(settings: &Settings) -> Result<Option<Self>, Error> {
        let mut certs = Vec::new();
        let wrong = |path: &Path, reason| Error::Authority {
            path: path.to_owned(),
            reason,
        };
        if let Some(file) = &settings.ca_file {
            let found = files::certificates(file).map_err(|reason| wrong(file, reason))?;
            if found.is_empty() {
                let reason = "there is no certificate in it".to_owned();
                return Err(wrong(file, reason));
            }
            certs.extend(found);
        }
        if let Some(dir) = &settings.ca_dir {
            let found = files::folder(dir);
            certs.extend(found.map_err(|error| wrong(dir, files::reason(&error)))?);
        }
        let Some(named) = settings.ca_file.as_ref().or(settings.ca_dir.as_ref()) else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certs.iter().cloned());
        if roots.is_empty() {
            let reason = "there is no certificate in it that can be used".to_owned();
            return Err(wrong(named, reason));
        }
        Ok(Some(Self {
            roots: Arc::new(roots),
            certs: Themselves(certs.into()),
        }))
    }

    fn first_to_end(&self) -> Option<Summary> {
        let all = self.certs.0.iter().filter_map(Summary::of);
        all.min_by_key(|cert| cert.not_after)
    }
}

/// Whom this machine believes.
fn system_roots() -> Result<Trusted, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map(ToString::to_string);
        return Err(Error::Authority {
            path: "of this machine".into(),
            reason: reason.unwrap_or_else(|| "there are none".to_owned()),
        });
    }
    Ok(Trusted {
        roots: Arc::new(roots),
        certs: Themselves::default(),
    })
}

fn provider(settings: &Settings) -> Result<Arc<CryptoProvider>, Error> {
    Ok(Arc::new(CryptoProvider {
        cipher_suites: ciphers::suites(settings)?,
        ..rustls::crypto::ring::default_provider()
    }))
}

struct Builder<'a> {
    settings: &'a Settings,
    provider: Arc<CryptoProvider>,
    trusted: Option<&'a Trusted>,
}

impl Builder<'_> {
    fn server(&self, own: &Certified, auth: ClientAuth) -> Result<ServerSide, Error> {
        let versions = ciphers::versions(self.settings.protocols.as_deref())?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&versions)?
            .with_client_cert_verifier(self.verifier(auth)?)
            .with_cert_resolver(Arc::clone(&own.shown) as _);
        config.ignore_client_order = self.settings.prefer_server_ciphers;
        match self.settings.sessions {
            Some((size, timeout_s)) => {
                config.session_storage = Arc::new(Sessions::new(size, timeout_s));
            }
            None => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
        }
        Ok(ServerSide(Arc::new(config)))
    }

    fn verifier(&self, auth: ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let Some(trusted) = self.trusted.filter(|_| auth != ClientAuth::No) else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let roots = Arc::clone(&trusted.roots);
        let provider = Arc::clone(&self.provider);
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        if auth == ClientAuth::Optional {
            builder = builder.allow_unauthenticated();
        }
        let rules = builder
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let themselves = trusted.certs.clone();
        Ok(Arc::new(Clients { rules, themselves }))
    }

    fn client(
        &self,
        trusted: Option<Trusted>,
        shown: Option<&Certified>,
        sni: Option<&str>,
    ) -> Result<ClientSide, Error> {
        let versions = ciphers::versions(self.settings.protocols.as_deref())?;
        let (roots, themselves) = trusted.map_or_else(Default::default, |trusted| {
            (Some(trusted.roots), trusted.certs)
        });
        let verifier = ChainOnly {
            roots,
            themselves,
            provider: Arc::clone(&self.provider),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match shown {
            Some(own) => builder.with_client_cert_resolver(Arc::clone(&own.shown) as _),
            None => builder.with_no_client_auth(),
        };
        config.enable_sni = sni.is_some();
        // Sessions with all servers have the same name here; links last long anyway.
        config.resumption = Resumption::disabled();
        let name = match sni {
            Some(name) => ServerName::try_from(name.to_owned())
                .map_err(|_| rustls::Error::General(format!("'{name}' is no name of a server")))?,
            None => ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0, 0, 0, 0]))),
        };
        Ok(ClientSide {
            config: Arc::new(config),
            name,
        })
    }
}
