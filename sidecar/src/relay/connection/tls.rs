//! The certificates that relays are recognised by.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::error::ConnectorError;

/// Opens TLS connections to relays whose certificates come from the system's certificate
/// authorities, or from those in this file instead, or stand in the file themselves.
///
/// # Errors
/// [`ConnectorError::Certificates`] if the file holds no certificate.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, ConnectorError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        // If there are none, each `wss://` relay fails with an error of its own.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        return Ok(TlsConnector::from(Arc::new(config)));
    };
    let unusable = |cause: Option<Box<dyn std::error::Error + Send + Sync>>| {
        ConnectorError::Certificates(path.display().to_string(), cause)
    };
    let given = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(Some(error.into())))?;
    let (added, _) = roots.add_parsable_certificates(given.iter().cloned());
    if added == 0 {
        return Err(unusable(None));
    }
    let usual = WebPkiServerVerifier::builder(Arc::new(roots)).build();
    let verifier = GivenCertificates {
        usual: usual.map_err(|error| unusable(Some(error.into())))?,
        given,
    };
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Verifies as usual; in addition, a server may show one of the given certificates itself, although
/// it is marked as one of an authority (`CA:TRUE`), as `openssl req -x509` makes them. curl and
/// browsers accept that, too. Time, name and the proof that the server holds the key are checked all
/// the same.
#[derive(Debug)]
struct GivenCertificates {
    usual: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for GivenCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.usual.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        // The period of validity is checked first and has errors of its own; what is left over
        // (`Other`) is that the certificate is one of an authority.
        match verified {
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self.given.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
