//! Trust: which certificates a probe accepts.
//!
//! A configuration is made once for each set of roots and shared by all probes that name the same;
//! the system's roots are read once, when the first probe needs them.
//!
//! Not here: the name that a certificate has to hold, which is that of the request (`probe`).

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

use super::Tls;

/// Why no configuration can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrustError {
    /// The roots in `ca` cannot be read.
    Roots,
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Roots => f.write_str("the certificates in `ca` cannot be read"),
        }
    }
}

/// The configuration of a client that trusts whom the system trusts.
pub fn system_trust() -> ClientConfig {
    static SYSTEM: OnceLock<ClientConfig> = OnceLock::new();
    SYSTEM.get_or_init(|| trusting(system_roots())).clone()
}

/// The configuration for a check's TLS; what is big in it is shared.
pub(super) fn config(tls: &Tls) -> Result<ClientConfig, TrustError> {
    static TRUST_ALL: OnceLock<ClientConfig> = OnceLock::new();

    match (&tls.ca, tls.verify) {
        (_, false) => Ok(TRUST_ALL.get_or_init(trusting_all).clone()),
        (None, true) => Ok(system_trust()),
        (Some(pem), true) => own(pem),
    }
}

/// A configuration for a client that makes no TLS connection but must be given one.
pub(super) fn unused() -> ClientConfig {
    trusting(RootCertStore::empty())
}

/// The configuration for roots from a file. Those of files that no probe names any more go away.
fn own(pem: &Arc<[u8]>) -> Result<ClientConfig, TrustError> {
    type Made = HashMap<usize, (Weak<[u8]>, ClientConfig)>;
    static MADE: OnceLock<Mutex<Made>> = OnceLock::new();

    // The address is the key: as long as the entry's `Weak` lives, no other file can get it.
    let key = pem.as_ptr().addr();
    let made = MADE.get_or_init(Mutex::default);
    let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, config)) = made.get(&key) {
        return Ok(config.clone());
    }
    made.retain(|_, (file, _)| 0 < file.strong_count());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| TrustError::Roots)?;
        roots.add(certificate).map_err(|_| TrustError::Roots)?;
    }
    if roots.is_empty() {
        return Err(TrustError::Roots);
    }
    let config = trusting(roots);
    made.insert(key, (Arc::downgrade(pem), config.clone()));
    Ok(config)
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

fn trusting(roots: RootCertStore) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .with_root_certificates(roots)
        .with_no_client_auth();
    fresh(config)
}

fn trusting_all() -> ClientConfig {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAll(provider())))
        .with_no_client_auth();
    fresh(config)
}

/// A resumed session would not show the certificate, and an expired one would go unnoticed.
fn fresh(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
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
