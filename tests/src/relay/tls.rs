//! A relay behind TLS, with a certificate that nobody but its maker trusts.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// TLS in front of a port of this machine, until the test program ends.
pub struct TlsFront {
    port: u16,
    /// The certificate, PEM.
    pub certificate: String,
}

impl TlsFront {
    /// Takes connections for this name alone, and hands them on to a `ws://` address.
    pub fn start(name: &str, behind: &str) -> Self {
        Self::start_with(&CertificateParams::new([name.to_owned()]).unwrap(), behind)
    }

    /// The same, with a certificate whose time is over.
    pub fn start_expired(name: &str, behind: &str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        Self::start_with(&params, behind)
    }

    /// A certificate as `openssl req -x509` makes it: marked as one of an authority.
    pub fn start_as_authority(name: &str, behind: &str) -> Self {
        Self::start_with(&authority(name), behind)
    }

    /// A certificate of an authority whose time is over.
    pub fn start_as_expired_authority(name: &str, behind: &str) -> Self {
        let mut params = authority(name);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        Self::start_with(&params, behind)
    }

    fn start_with(params: &CertificateParams, behind: &str) -> Self {
        let behind: SocketAddr = behind.strip_prefix("ws://").unwrap().parse().unwrap();
        let pair = KeyPair::generate().unwrap();
        let made = params.self_signed(&pair).unwrap();
        let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        // A client that does not trust us goes away.
                        let Ok(mut outer) = acceptor.accept(stream).await else {
                            return;
                        };
                        let mut inner = TcpStream::connect(behind).await.unwrap();
                        let _ = copy_bidirectional(&mut outer, &mut inner).await;
                    });
                }
            });
        });
        Self {
            port,
            certificate: made.pem(),
        }
    }

    /// Its address under a name.
    pub fn url(&self, name: &str) -> String {
        format!("wss://{name}:{}", self.port)
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}
