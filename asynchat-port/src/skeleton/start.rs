//! `start`: how an object comes by its channel.

use std::net::IpAddr;

use crate::{
    model::ClassId,
    skeleton::{
        callbacks::Trait,
        class::Writer,
        context::Context,
        literal::{Literal, quoted},
        plan::{PlannedClass, Role},
    },
};

impl Writer<'_, '_> {
    pub(super) fn start(&mut self, class: &PlannedClass, of: Trait) {
        let mut parameters = vec!["self".to_owned(), "registry: &mut Registry".to_owned()];
        match class.role {
            Role::Stream => parameters.push("stream: Stream".to_owned()),
            Role::Given => parameters.push("socket: Socket".to_owned()),
            Role::Listener | Role::Client | Role::Datagrams => {}
        }
        self.page
            .function("pub fn start", &parameters, " -> io::Result<ChannelId>");
        let object = match of {
            Trait::Dispatcher => "self",
            Trait::AsyncChat => {
                let terminator = self.terminator(class.id);
                self.page.call(
                    "let chat = ChatDispatcher::new",
                    &["self".to_owned(), terminator],
                    ";",
                );
                "chat"
            }
        };
        let address = self.address(class);
        match class.role {
            Role::Stream => self
                .page
                .line(&format!("registry.register(stream, {object})")),
            Role::Given => self
                .page
                .line(&format!("registry.register(socket, {object})")),
            Role::Datagrams => {
                self.page.line("let socket: UdpSocket = todo!();");
                self.page
                    .line(&format!("registry.register(socket, {object})"));
            }
            Role::Listener => {
                let address = address.and_then(|(host, port)| {
                    let ip = match host.as_str() {
                        "" => self.wildcard(class.id)?.to_owned(),
                        host => segments(host.parse().ok()?),
                    };
                    Some(format!("({ip}, {port})"))
                });
                match address {
                    Some(address) => self
                        .page
                        .line(&format!("registry.listen({address}, {object})")),
                    None => {
                        self.page.line("let address: Address = todo!();");
                        self.page
                            .line(&format!("registry.listen(address, {object})"));
                    }
                }
            }
            Role::Client => {
                let (host, port) = match address {
                    Some((host, port)) => (quoted(&host), port),
                    None => {
                        self.page.line("let (host, port): (String, u16) = todo!();");
                        ("host".to_owned(), "port".to_owned())
                    }
                };
                let mut arguments = vec![host, port];
                let mut function = "registry.connect_host";
                if self.plan.first_call(class.id, "bind").is_some() {
                    self.page
                        .comment("`bind` before `connect`: the source of the options.");
                    self.page.line("let options: ConnectOptions = todo!();");
                    arguments.push("&options".to_owned());
                    function = "registry.connect_host_with";
                }
                arguments.push(object.to_owned());
                self.page.call(function, &arguments, "");
            }
        }
        self.page.close();
    }

    /// All addresses of the family that `create_socket` spells out.
    fn wildcard(&self, class: ClassId) -> Option<&'static str> {
        let (module, call) = self.plan.first_call(class, "create_socket")?;
        let context = Context::of_script(self.plan, module);
        let arguments = context.arguments(call);
        let mut keywords = arguments.keywords.iter();
        let keyword = keywords.find(|(name, _)| name == "family");
        let family = arguments
            .positional
            .first()
            .or(keyword.map(|(_, value)| value));
        let Some(&family) = family else {
            // Python's default is AF_INET.
            return Some("[0, 0, 0, 0]");
        };
        match *context.tree.dotted(family)?.last()? {
            "AF_INET" => Some("[0, 0, 0, 0]"),
            "AF_INET6" => Some("[0u16; 8]"),
            _ => None,
        }
    }

    /// The host and port that `bind` or `connect` spells out.
    fn address(&self, class: &PlannedClass) -> Option<(String, String)> {
        let name = if class.role == Role::Listener {
            "bind"
        } else {
            "connect"
        };
        let plan = self.plan;
        let (module, call) = plan.first_call(class.id, name)?;
        let tree = plan.tree(module);
        let argument = tree.children(tree.child(call, "arguments")?).next()?;
        if tree.kind(argument) != "tuple" {
            return None;
        }
        let mut parts = tree.children(argument);
        let (host, port) = (parts.next()?, parts.next()?);
        let Some(Literal::Text(host)) = Literal::of(tree, host) else {
            return None;
        };
        let literal = Literal::of(tree, port);
        let (number, port) = match (literal, plan.constant(module, port)) {
            (Some(Literal::Int(number)), _) => (number, number.to_string()),
            (None, Some(constant)) => match constant.value {
                Literal::Int(number) => (number, format!("{} as u16", constant.rust)),
                _ => return None,
            },
            _ => return None,
        };
        u16::try_from(number).ok()?;
        Some((host, port))
    }

    fn terminator(&self, class: ClassId) -> String {
        let plan = self.plan;
        let Some((module, call)) = plan.terminator(class) else {
            return "Terminator::None".to_owned();
        };
        let context = Context::of_script(plan, module);
        let tree = context.tree;
        let argument = tree
            .child(call, "arguments")
            .and_then(|list| tree.children(list).next());
        context.terminator(argument)
    }
}

/// As code that converts into an `IpAddr`.
fn segments(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!(
            "[{}]",
            ip.octets().map(|octet| octet.to_string()).join(", ")
        ),
        IpAddr::V6(ip) if ip.is_unspecified() => "[0u16; 8]".to_owned(),
        IpAddr::V6(ip) => {
            let segments = ip.segments().map(|segment| format!("{segment:#x}"));
            format!("[{}]", segments.join(", "))
        }
    }
}
