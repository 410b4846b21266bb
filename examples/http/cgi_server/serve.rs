//! From the command line to a server that runs.

use std::{cell::Cell, path::Path, rc::Rc};

use asynchat::{Reactor, Result};
use asynchat_rustls::TlsAcceptor;
use shared::{
    cgi::place::Scripts,
    cli,
    http::{
        ALPN,
        paths::Root,
        service::{self, Options, Service},
    },
    signals,
};

use crate::{
    Args,
    files::Files,
    handler::{CgiHandler, SOFTWARE, Server},
    limits::{Limits, SHUTDOWN_GRACE},
    pool::Pool,
    script::launch::Launcher,
    user::User,
};

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
pub(crate) fn run(args: Args) -> Result {
    let open = |directory: &Path| {
        Root::new(directory, false)
            .map(|root| root.follow_symlinks(args.follow_symlinks))
            .map_err(|error| format!("cannot serve {}: {error}", directory.display()))
    };
    let files = open(&args.directory)?;
    let scripts = Scripts::new(open(&args.cgi_dir)?, &args.cgi_path);
    let user = User::of_scripts(args.user.as_deref())?;
    let identity = args.tls.identity(&[ALPN]);
    let config = identity
        .as_ref()
        .map(shared::tls::server::Identity::config)
        .transpose()?;
    let acceptor = config.map(TlsAcceptor::new);
    let server = Rc::new(Server {
        pool: Rc::new(Pool::new(
            args.limits.clone(),
            Launcher::new(user, &args.pass_env),
        )),
        scripts,
        documents: files.directory().to_owned(),
        files: Files::new(files),
        passes_authorization: args.pass_authorization,
        spooled: Cell::new(0),
    });
    let mut reactor = Reactor::new()?;
    let service = Service::new(options(&args.limits));
    let ending = service.clone();
    signals::end_on_signal(&mut reactor, move |registry| {
        ending.shut_down::<CgiHandler>(registry, SHUTDOWN_GRACE);
    })?;
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    if let (Some(identity), Some(acceptor)) = (identity, acceptor.clone()) {
        identity.reload_on_hangup(&mut reactor, acceptor)?;
    }
    let listener = service.listen(
        &mut reactor,
        args.listen.address(),
        acceptor,
        move |_, _| CgiHandler::new(Rc::clone(&server)),
    );
    let listener =
        listener.map_err(|error| format!("cannot listen on {}: {error}", args.listen.address()))?;
    let address = reactor
        .channel(listener)
        .map(|channel| channel.local_addr())
        .transpose()?;
    let address = address
        .and_then(|address| address.inet())
        .unwrap_or(args.listen.address());
    cli::say(&format!(
        "running the scripts in {} on {scheme}://{address}{}",
        args.cgi_dir.display(),
        args.cgi_path
    ))?;
    reactor.run()?;
    Ok(())
}

fn options(limits: &Limits) -> Options {
    Options {
        limits: service::Limits {
            connections: limits.connections,
            idle: limits.idle,
            request_time: limits.request_time,
            body: limits.body,
            // Scripts have limits of their own.
            answer_time: limits.script_time + limits.waiting_time,
            ..service::Limits::default()
        },
        server: Some(SOFTWARE),
        ..Options::default()
    }
}
