//! TLS by rustls (ring), towards callers and towards upstreams.
//!
//! Files are read again when they change; connections made before keep what they began with. A file that cannot be
//! used is reported, and what is in use stays.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::env::Stream;
use crate::plan::{Protocol, TlsClientPlan, TlsServerPlan};
use crate::versioned::Versioned;

/// What is wrong with a certificate, key or authority file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of the right kind.
    #[error("cannot read {what} from {}", path.display())]
    Read {
        /// What was wanted.
        what: &'static str,
        /// From where.
        path: PathBuf,
        /// Why not.
        source: rustls::pki_types::pem::Error,
    },
    /// The file holds none.
    #[error("{} holds no certificate in PEM", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The parts do not fit together: the key is another certificate's, the algorithm is unknown.
    #[error("cannot use the certificate and key in {}", path.display())]
    Config {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// The client authorities are of no use.
    #[error("cannot use the client authorities in {}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rustls::server::VerifierBuilderError,
    },
}

/// What was made of files.
#[derive(Debug)]
struct OfFiles<T> {
    made: Versioned<T>,
    /// The files' contents, to tell whether they changed: a renewal may keep size and time.
    seen: Mutex<Vec<u8>>,
}

impl<T> OfFiles<T> {
    fn read<'p>(
        paths: impl IntoIterator<Item = &'p PathBuf>,
        make: impl FnOnce() -> Result<T, TlsError>,
    ) -> Result<Self, TlsError> {
        // Before they are used: a file that changes in between is then used once more, and not missed.
        let seen = Mutex::new(contents(paths));
        Ok(Self {
            made: Versioned::new(make()?),
            seen,
        })
    }

    /// Reads the files again if they changed; says whether they did.
    fn reread<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p PathBuf>,
        make: impl FnOnce() -> Result<T, TlsError>,
    ) -> Result<bool, TlsError> {
        let now = contents(paths);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        // Remember what failed too, so that it is reported once and not at every look.
        *seen = now;
        self.made.store(Arc::new(make()?));
        Ok(true)
    }
}

fn contents<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Vec<u8> {
    let read = |path| std::fs::read(path).unwrap_or_default();
    paths.into_iter().flat_map(read).collect()
}

/// Terminates TLS on a listener, or on whatever else the owner of the gateway listens on.
#[derive(Debug)]
pub struct Acceptor {
    plan: TlsServerPlan,
    protocol: Protocol,
    config: OfFiles<ServerConfig>,
}

impl Acceptor {
    /// Reads the plan's files. `protocol` is what may be chosen by ALPN.
    ///
    /// # Errors
    /// [`TlsError`] if a file cannot be used.
    pub fn build(plan: &TlsServerPlan, protocol: Protocol) -> Result<Self, TlsError> {
        Ok(Self {
            plan: plan.clone(),
            protocol,
            config: OfFiles::read(server_files(plan), || server_config(plan, protocol))?,
        })
    }

    /// Reads the files again if they changed; says whether they did.
    ///
    /// # Errors
    /// [`TlsError`] if a file cannot be used; what was read before is used on.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let plan = &self.plan;
        self.config
            .reread(server_files(plan), || server_config(plan, self.protocol))
    }

    /// Shakes hands. The stream is HTTP/2 if the caller chose it by ALPN.
    ///
    /// # Errors
    /// The peer speaks no TLS, or shows no certificate that is good where one is required.
    pub async fn accept(&self, stream: Stream) -> std::io::Result<(Stream, bool)> {
        let acceptor = tokio_rustls::TlsAcceptor::from(self.config.made.load().1);
        let stream = acceptor.accept(stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Stream::TlsServer(Box::new(stream)), http2))
    }
}

fn server_files(plan: &TlsServerPlan) -> impl Iterator<Item = &PathBuf> {
    [&plan.certificate, &plan.key].into_iter().chain(&plan.client_ca)
}

fn server_config(plan: &TlsServerPlan, protocol: Protocol) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(&plan.certificate, e))?;
    let builder = match &plan.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(roots(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = if plan.client_required {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            let verifier = verifier.build().map_err(|source| TlsError::ClientCa {
                path: path.clone(),
                source,
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, key) = (chain(&plan.certificate)?, key(&plan.key)?);
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|e| unusable(&plan.certificate, e))?;
    config.alpn_protocols = alpn(protocol);
    Ok(config)
}

/// Speaks TLS to an upstream, or to whomever else the owner of the gateway calls.
#[derive(Clone)]
pub struct Connector {
    plan: TlsClientPlan,
    protocol: Protocol,
    config: Arc<OfFiles<ClientConfig>>,
}

impl Connector {
    /// Reads the plan's files. `protocol` is what is offered by ALPN.
    ///
    /// # Errors
    /// [`TlsError`] if a file cannot be used.
    pub fn build(plan: &TlsClientPlan, protocol: Protocol) -> Result<Self, TlsError> {
        let config = OfFiles::read(client_files(plan), || client_config(plan, protocol))?;
        Ok(Self {
            plan: plan.clone(),
            protocol,
            config: Arc::new(config),
        })
    }

    /// Reads the files again if they changed; says whether they did.
    pub(crate) fn reload(&self) -> Result<bool, TlsError> {
        let plan = &self.plan;
        self.config
            .reread(client_files(plan), || client_config(plan, self.protocol))
    }

    /// Shakes hands with an endpoint found under `host`; says whether HTTP/2 was chosen.
    ///
    /// # Errors
    /// The peer cannot be verified, or the connection broke.
    pub async fn connect(&self, stream: Stream, host: &str) -> std::io::Result<(Stream, bool)> {
        let name = self
            .plan
            .server_name
            .as_deref()
            .unwrap_or(host)
            .trim_matches(['[', ']'])
            .to_owned();
        let name = ServerName::try_from(name)
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
        let connector = tokio_rustls::TlsConnector::from(self.config.made.load().1);
        let stream = connector.connect(name, stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Stream::TlsClient(Box::new(stream)), http2))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

fn client_files(plan: &TlsClientPlan) -> impl Iterator<Item = &PathBuf> {
    let identity = plan.identity.iter();
    plan.ca
        .iter()
        .chain(identity.flat_map(|(certificate, key)| [certificate, key]))
}

fn client_config(plan: &TlsClientPlan, protocol: Protocol) -> Result<ClientConfig, TlsError> {
    let mut config = client(plan)?;
    config.alpn_protocols = alpn(protocol);
    Ok(config)
}

/// What a plan says, for whoever speaks something else than HTTP. Its `server_name` is not part of that.
///
/// # Errors
/// [`TlsError`] if a file cannot be used.
pub fn client(plan: &TlsClientPlan) -> Result<ClientConfig, TlsError> {
    let roots = match &plan.ca {
        Some(path) => roots(path)?,
        None => RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        },
    };
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions();
    let none = PathBuf::new();
    let path = plan
        .identity
        .as_ref()
        .map_or(&none, |(certificate, _)| certificate);
    let builder = builder
        .map_err(|e| unusable(path, e))?
        .with_root_certificates(roots);
    match &plan.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, private)) => builder
            .with_client_auth_cert(chain(certificate)?, key(private)?)
            .map_err(|e| unusable(certificate, e)),
    }
}

fn alpn(protocol: Protocol) -> Vec<Vec<u8>> {
    match protocol {
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn unusable(path: &Path, source: rustls::Error) -> TlsError {
    TlsError::Config {
        path: path.to_owned(),
        source,
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |source| TlsError::Read {
        what: "a certificate",
        path: path.to_owned(),
        source,
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(read)?
        .collect::<Result<_, _>>()
        .map_err(read)?;
    if chain.is_empty() {
        Err(TlsError::Empty {
            path: path.to_owned(),
        })
    } else {
        Ok(chain)
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::Read {
        what: "a private key",
        path: path.to_owned(),
        source,
    })
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(chain(path)?);
    if added == 0 {
        Err(TlsError::Empty {
            path: path.to_owned(),
        })
    } else {
        Ok(store)
    }
}
