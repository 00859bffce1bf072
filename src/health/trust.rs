//! Trust: which certificates a probe accepts, and which one it shows.
//!
//! A configuration is made once for each set of files and shared by all probes that name the same;
//! the system's roots are read once, when the first probe needs them.
//!
//! *Not here:* the name that a certificate has to hold, which is that of the connection, and the
//! time it has to be good for yet (`probe`).

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WantsClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};

use super::{Identity, Tls};

/// Why no configuration can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustError {
    /// The roots in `ca` cannot be read.
    Roots,
    /// The certificates in `cert` cannot be read.
    Cert,
    /// The key in `key` cannot be read.
    Key,
    /// The key is that of another certificate.
    Mismatch,
}

/// What is spoken over the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Alpn {
    /// It is not said.
    Unsaid,
    /// HTTP/2, else HTTP/1.1.
    Http,
    /// HTTP/2.
    H2,
}

/// What a configuration is made from. A file is known by its address: as long as the entry's
/// `Weak` lives, no other file can get it.
type Key = (Option<usize>, Option<usize>, bool, Alpn);

/// The configurations that were made.
type Made = HashMap<Key, (Files, Arc<ClientConfig>)>;

/// The files of a configuration, to tell when no probe names them any more.
struct Files {
    ca: Option<Weak<[u8]>>,
    identity: Option<Weak<Identity>>,
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Roots => f.write_str("the certificates in `ca` cannot be read"),
            Self::Cert => f.write_str("the certificate in `cert` cannot be read"),
            Self::Key => f.write_str("the key in `key` cannot be read"),
            Self::Mismatch => f.write_str("the key in `key` is not that of `cert`"),
        }
    }
}

/// The configuration of a client that trusts whom the system trusts.
pub fn system_trust() -> ClientConfig {
    static SYSTEM: OnceLock<ClientConfig> = OnceLock::new();
    SYSTEM.get_or_init(|| trusting(system_roots()).with_no_client_auth()).clone()
}

/// The configuration for a check's TLS.
pub(super) fn config(tls: &Tls, alpn: Alpn) -> Result<Arc<ClientConfig>, TrustError> {
    static MADE: OnceLock<Mutex<Made>> = OnceLock::new();

    let ca = tls.ca.as_ref().filter(|_| tls.verify);
    let key = (
        ca.map(|it| it.as_ptr().addr()),
        tls.identity.as_ref().map(|it| Arc::as_ptr(it).addr()),
        tls.verify,
        alpn,
    );
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, config)) = made.get(&key) {
        return Ok(Arc::clone(config));
    }
    made.retain(|_, (files, _)| files.are_used());
    let builder = match (ca, tls.verify) {
        (_, false) => trusting_all(),
        (None, true) => trusting(system_roots()),
        (Some(pem), true) => trusting(roots(pem)?),
    };
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => showing(builder, identity)?,
    };
    // A resumed session would not show the certificate, and an expired one would go unnoticed.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = match alpn {
        Alpn::Unsaid => Vec::new(),
        Alpn::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Alpn::H2 => vec![b"h2".to_vec()],
    };
    let config = Arc::new(config);
    let files =
        Files { ca: ca.map(Arc::downgrade), identity: tls.identity.as_ref().map(Arc::downgrade) };
    made.insert(key, (files, Arc::clone(&config)));
    Ok(config)
}

impl Files {
    fn are_used(&self) -> bool {
        let ca = self.ca.as_ref().is_none_or(|it| 0 < it.strong_count());
        ca && self.identity.as_ref().is_none_or(|it| 0 < it.strong_count())
    }
}

/// Whether a text can be the roots of a check.
#[must_use]
pub fn is_roots(pem: &[u8]) -> bool {
    roots(pem).is_ok()
}

/// What keeps a certificate and a key from being shown, if anything does.
///
/// # Errors
///
/// Says which of the two it is, or that they do not belong together.
pub fn is_identity(identity: &Identity) -> Result<(), TrustError> {
    showing(trusting(RootCertStore::empty()), identity).map(drop)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| TrustError::Roots)?;
        roots.add(certificate).map_err(|_| TrustError::Roots)?;
    }
    if roots.is_empty() { Err(TrustError::Roots) } else { Ok(roots) }
}

fn showing(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: &Identity,
) -> Result<ClientConfig, TrustError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&identity.cert).collect();
    let chain = chain.ok().filter(|it| !it.is_empty()).ok_or(TrustError::Cert)?;
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|_| TrustError::Key)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| match error {
        Error::InconsistentKeys(_) => TrustError::Mismatch,
        Error::InvalidCertificate(_) => TrustError::Cert,
        _ => TrustError::Key,
    })
}

fn system_roots() -> RootCertStore {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::warn!(%error, "some of the system's trusted certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    // Certificates that this library does not take are left out, as everywhere.
    roots.add_parsable_certificates(loaded.certs);
    roots
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

fn trusting(roots: RootCertStore) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .with_root_certificates(roots)
}

fn trusting_all() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAll(provider())))
}

/// `verify: false`: any certificate, of anyone, for any name. The handshake's signatures are still
/// checked: the peer has the key of what it shows.
#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
