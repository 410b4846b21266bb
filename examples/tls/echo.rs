//! An echo server over TLS: `cargo run --example tls_echo -- CERT KEY [ADDR]`, two PEM files, then
//! `openssl s_client -connect 127.0.0.1:8008`.

use std::{env, io::Write, sync::Arc};

use asynchat::{Channel, Dispatcher, Reactor, Result};
use asynchat_rustls::{RegistryTls, TlsAcceptor};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

struct Echo;

impl Dispatcher for Echo {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(Write::write_all)??;
        Ok(())
    }
}

fn main() -> Result {
    env_logger::init();
    let arguments = env::args().skip(1).collect::<Vec<_>>();
    let [cert, key, address @ ..] = arguments.as_slice() else {
        return Err("usage: tls_echo CERT KEY [ADDR]".into());
    };
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let acceptor = TlsAcceptor::new(Arc::new(config));
    let address = address.first().map_or("127.0.0.1:8008", String::as_str);
    let mut reactor = Reactor::new()?;
    reactor.listen_fn(address, move |registry, stream, _peer| {
        registry.register_tls(stream, &acceptor, Echo)?;
        Ok(())
    })?;
    println!("echoing on {address}");
    Ok(reactor.run()?)
}
