//! Statements of Python, and the Rust below them.

use crate::skeleton;

/// In a method of an `async_chat` with these fields.
const CHAT: &str = "\
import asynchat, asyncore, time
END = b'\\r\\n'
LIMIT = 8
class Chat(asynchat.async_chat):
    def __init__(self, server, sock, name):
        asynchat.async_chat.__init__(self, sock)
        self.server = server
        self.buffer = b''
        self.name = name
        self.text = 'x'
        self.count = 0
        self.flag = False
        self.items = []
        self.part = None
        self.other = None
        self.other = Chat(self, None, 'y')
    def collect_incoming_data(self, data):
        self.buffer += data
    def own(self, a, b=1):
        pass
    def handle_close(self):
        Chat(self, self.sock, 'x')
    def found_terminator(self):
";

/// A statement, and what stands below it. Nothing: only the comment; `todo`: no one line.
const STATEMENTS: [(&str, &[&str]); 68] = [
    (
        "self.push('220 hello\\r\\n')",
        &["chat.push(\"220 hello\\r\\n\");"],
    ),
    (
        "self.push(b'\\xff\\0')",
        &["chat.push(&b\"\\xff\\x00\"[..]);"],
    ),
    ("self.push('one ' 'two')", &["chat.push(\"one two\");"]),
    ("self.push(r'\\n')", &["chat.push(\"\\\\n\");"]),
    ("self.push(END)", &["chat.push(END);"]),
    (
        "self.push(self.buffer)",
        &["chat.push(self.buffer.clone());"],
    ),
    ("self.push('%d' % 1)", &["chat.push(todo::bytes());"]),
    ("self.push(f'{x}')", &["chat.push(todo::bytes());"]),
    ("self.push('é')", &["chat.push(todo::bytes());"]),
    (
        "asynchat.async_chat.push(self, 'x')",
        &["chat.push(\"x\");"],
    ),
    ("self.send('x')", &["chat.push(\"x\");"]),
    ("super().push('x')", &["chat.push(\"x\");"]),
    ("super(Chat, self).push('x')", &["chat.push(\"x\");"]),
    (
        "self.push_with_producer(P())",
        &["chat.push_with_producer(todo::producer());"],
    ),
    ("self.close_when_done()", &["chat.close_when_done();"]),
    ("self.close()", &["chat.close();"]),
    (
        "self.discard_buffers()",
        &["chat.discard_input();", "chat.discard_output();"],
    ),
    (
        "self.set_terminator('\\r\\n')",
        &["chat.set_terminator(\"\\r\\n\");"],
    ),
    (
        "self.set_terminator(END)",
        &["chat.set_terminator(\"\\r\\n\");"],
    ),
    ("self.set_terminator(LIMIT)", &["chat.set_terminator(8);"]),
    ("self.set_terminator(4 * 2)", &["chat.set_terminator(8);"]),
    ("self.set_terminator(0x10)", &["chat.set_terminator(16);"]),
    ("self.set_terminator(010)", &["chat.set_terminator(8);"]),
    (
        "self.set_terminator(None)",
        &["chat.set_terminator(Terminator::None);"],
    ),
    (
        "self.set_terminator(0)",
        &["chat.set_terminator(Terminator::None);"],
    ),
    (
        "self.set_terminator(n)",
        &["chat.set_terminator(todo::terminator());"],
    ),
    (
        "self.set_terminator(-1)",
        &["chat.set_terminator(todo::terminator());"],
    ),
    (
        "self.log_info('up {}', 'warning')",
        &["log::warn!(\"up {{}}\");"],
    ),
    (
        "self.log_info('up', type='error')",
        &["log::error!(\"up\");"],
    ),
    ("self.log('up')", &["log::info!(\"up\");"]),
    ("print('up {x}')", &["println!(\"up {{x}}\");"]),
    ("print 'up'", &["println!(\"up\");"]),
    ("print('up', 1)", &["todo!();"]),
    ("asyncore.close_all()", &["chat.registry().close_all();"]),
    (
        "raise asyncore.ExitNow",
        &["chat.registry().stop();", "return Ok(());"],
    ),
    (
        "raise asyncore.ExitNow('x')",
        &["chat.registry().stop();", "return Ok(());"],
    ),
    ("raise ValueError", &["todo!();"]),
    ("asyncore.loop()", &["todo!();"]),
    ("time.sleep(1)", &["todo!();"]),
    ("self.own(x)", &["self.own(chat, todo!(), 1)?;"]),
    ("self.own(1, 2)", &["self.own(chat, 1, 2)?;"]),
    ("self.own(1)", &["self.own(chat, 1, 1)?;"]),
    (
        "self.handle_close()",
        &["AsyncChat::handle_close(self, chat)?;"],
    ),
    ("self.buffer = b''", &["self.buffer = Vec::new();"]),
    ("self.buffer = ''", &["self.buffer = Vec::new();"]),
    ("self.buffer = END", &["self.buffer = END.to_vec();"]),
    ("self.text = 'a\\'b'", &["self.text = \"a'b\".to_owned();"]),
    ("self.text = ''", &["self.text = String::new();"]),
    ("self.count = LIMIT", &["self.count = LIMIT;"]),
    ("self.count = -1", &["self.count = -1;"]),
    ("self.count += 1", &["self.count += 1;"]),
    ("self.count /= 2", &["todo!();"]),
    ("self.flag = 1", &["self.flag = true;"]),
    ("self.items = []", &["self.items = Vec::new();"]),
    ("self.part = None", &["self.part = None;"]),
    ("self.connected = 0", &[]),
    ("pass", &[]),
    ("'a text'", &[]),
    ("import os", &[]),
    (
        "self.server.push('x')",
        &[
            "if let Some(mut other) = chat.registry().channel(self.server) {",
            "    other.push(\"x\");",
            "}",
        ],
    ),
    (
        "self.other = Chat(self, x, 'z')",
        &[
            "let object = Chat::new(chat.id(), \"z\".to_owned());",
            "self.other = Some(object.start(chat.registry(), todo!())?);",
        ],
    ),
    (
        "if self.flag: self.close()",
        &["if self.flag {", "    chat.close();", "}"],
    ),
    (
        "if not self.count: self.close()",
        &["if self.count == 0 {", "    chat.close();", "}"],
    ),
    (
        "if self.items: self.close()",
        &["if !self.items.is_empty() {", "    chat.close();", "}"],
    ),
    (
        "if self.part is not None: self.close()",
        &["if self.part.is_some() {", "    chat.close();", "}"],
    ),
    (
        "while x: self.close()",
        &["while todo!() {", "    chat.close();", "}"],
    ),
    ("if x: y()", &["todo!();"]),
    ("for x in y: break", &["while todo!() {", "    break;", "}"]),
];

fn method(statement: &str) -> String {
    skeleton(&[("a.py", &format!("{CHAT}        {statement}\n"))])
}

/// All of them as one program.
pub fn all() -> String {
    let mut python = CHAT.to_owned();
    for (statement, _) in STATEMENTS {
        python.push_str(&format!("        {statement}\n"));
    }
    skeleton(&[("a.py", &python)])
}

#[test]
fn each_statement_has_its_rust_below_it() {
    for (statement, expected) in STATEMENTS {
        let text = method(statement);
        let comment = format!("        // {statement}\n");
        let start = text
            .rfind(&comment)
            .unwrap_or_else(|| panic!("{statement:?} is no comment: {text}"));
        let rest = &text[start + comment.len()..];
        let end = rest.find("        Ok(())\n    }\n").unwrap();
        let below: Vec<_> = rest[..end]
            .lines()
            .map(|line| line.strip_prefix("        ").unwrap())
            .collect();
        assert_eq!(below, expected, "{statement}");
    }
}

/// Whole programs, and a piece of their skeletons.
const PIECES: [(&str, &str); 36] = [
    (
        "import asyncore\nCONST = 1\nclass A(asyncore.dispatcher):\n    def handle_read(self):\n        type = self.recv(8)\n        CONST = self.recv(8)\n",
        "        let r#type = channel.recv_with(|_, data| data.to_vec())?;\n        // CONST = self.recv(8)\n        let CONST_2 = channel.recv_with(|_, data| data.to_vec())?;\n",
    ),
    // Callbacks by their traits.
    (
        "import asyncore\nclass A(asyncore.dispatcher):\n    def readable(self):\n        return self.accepting\n    def writable(self): return False\n",
        "    fn writable(&self) -> bool {\n        // def writable(self): return False\n        return false;\n    }\n",
    ),
    (
        "import asyncore\nclass A(asyncore.dispatcher):\n    def handle_error(self):\n        asyncore.dispatcher.handle_error(self)\n",
        "    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {\n        // def handle_error(self):\n        // asyncore.dispatcher.handle_error(self)\n        channel.default_error(error);\n    }\n",
    ),
    (
        "import asyncore\nclass A(asyncore.dispatcher):\n    def close(self):\n        self.log_info('x')\n        asyncore.dispatcher.close(self)\n",
        "    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {\n",
    ),
    (
        "import asyncore\nclass A(asyncore.dispatcher):\n    def handle_accepted(self, sock, peer):\n        B(peer, sock)\nclass B(asyncore.dispatcher):\n    def __init__(self, peer, sock): asyncore.dispatcher.__init__(self, sock)\n",
        "        let object = B::new(peer.clone());\n        object.start(channel.registry(), sock)?;\n",
    ),
    // What a constructor says to its peer.
    (
        "import asynchat\nclass A(asynchat.async_chat):\n    def __init__(self, conn):\n        asynchat.async_chat.__init__(self, conn)\n        self.push('220 hi\\r\\n')\n        self.set_terminator('\\n')\n",
        "    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {\n        // From `__init__`:\n        // self.push('220 hi\\r\\n')\n        chat.push(\"220 hi\\r\\n\");\n        Ok(())\n    }\n",
    ),
    (
        "import asynchat\nclass A(asynchat.async_chat):\n    def __init__(self, conn):\n        self.set_terminator('\\n')\n",
        "        let chat = ChatDispatcher::new(self, \"\\n\");\n        registry.register(stream, chat)\n",
    ),
    (
        "import asynchat\nclass A(asynchat.async_chat):\n    def __init__(self, conn, end):\n        self.set_terminator(end)\n    def found_terminator(self):\n        self.set_terminator('\\n')\n",
        "        let chat = ChatDispatcher::new(self, todo::terminator());\n",
    ),
    (
        "import asyncore\nLIMIT = 5\nclass A(asyncore.dispatcher):\n    limit = 10\n    def __init__(self, limit=10):\n        self.limit = limit\n",
        "        Self { limit }\n",
    ),
    (
        "import asyncore\nLIMIT = 5\nclass A(asyncore.dispatcher):\n    limit = 10\n    def __init__(self):\n        self.limit = f()\n",
        "        Self { limit: todo!() }\n",
    ),
    (
        "import asyncore\nLIMIT = 5\nclass A(asyncore.dispatcher):\n    limit = 10\n    limit = 20\n",
        "        Self { limit: 20 }\n",
    ),
    (
        "import asyncore\nLIMIT = 5\nclass A(asyncore.dispatcher):\n    def __init__(self):\n        self.n = 0\n        self.n = 7\n",
        "    pub fn new() -> Self {\n        // def __init__(self):\n        // self.n = 0\n        // self.n = 7\n        Self { n: 7 }\n",
    ),
    (
        "import asyncore\nLIMIT = 5\nclass A(asyncore.dispatcher):\n    def __init__(self, x):\n        self.n = 3\n        if x: self.n = 7\n",
        "        todo!();\n        Self { n: 3 }\n",
    ),
    (
        "import asyncore\nLIMIT = 5\nclass A(asyncore.dispatcher):\n    def __init__(self, x):\n        if x: self.n = 7\n        else: self.n = None\n",
        "        Self { n: todo!() }\n",
    ),
    (
        "import asyncore\nLIMIT = 5\nclass A(asyncore.dispatcher):\n    def __init__(self):\n        self.n = 0\n        self.n += 7\n",
        "        todo!();\n        Self { n: todo!() }\n",
    ),
    (
        "import asyncore\nLIMIT = 5\nclass A(asyncore.dispatcher):\n    def f(self): self.n = 1\n    def __init__(self):\n        self.n = 0\n",
        "        Self { n: 0 }\n",
    ),
    (
        "import asyncore\nLIMIT = 5\nclass A(asyncore.dispatcher):\n    def __init__(self):\n        self.n = self.m = LIMIT\n",
        "        // self.n = self.m = LIMIT\n        Self { n: LIMIT, m: LIMIT }\n",
    ),
    (
        "import asyncore\nLIMIT = 5\nclass A(asyncore.dispatcher):\n    def __init__(self):\n        self.n = 1\n        self.n, x = 2, 3\n",
        "        todo!();\n        Self { n: todo!() }\n",
    ),
    (
        "import asyncore\nLIMIT = 5\nclass A(asyncore.dispatcher):\n    def __init__(self):\n        self.n = 1\n        self.n = None\n",
        "        Self { n: None }\n",
    ),
    // Sockets.
    (
        "import asyncore\nPORT = 25\nclass A(asyncore.dispatcher):\n    def __init__(self):\n        self.bind(('127.0.0.1', PORT))\n        self.listen(5)\n",
        "        registry.listen(([127, 0, 0, 1], PORT as u16), self)\n",
    ),
    (
        "import asyncore\nclass A(asyncore.dispatcher):\n    def __init__(self):\n        self.connect(('a.example', 80))\n",
        "        registry.connect_host(\"a.example\", 80, self)\n",
    ),
    (
        "import asyncore\nclass A(asyncore.file_dispatcher):\n    def handle_read(self): pass\n",
        "    pub fn start(self, registry: &mut Registry, socket: Socket) -> io::Result<ChannelId> {\n",
    ),
    (
        "import asyncore, socket\nclass A(asyncore.dispatcher):\n    def __init__(self):\n        self.create_socket(socket.AF_INET, socket.SOCK_DGRAM)\n",
        "        let socket: UdpSocket = todo!();\n        registry.register(socket, self)\n",
    ),
    (
        "import asyncore, socket\nclass A(asyncore.dispatcher):\n    def __init__(self, family=None):\n        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)\n        self.bind(('', 25))\n        self.listen(5)\n",
        "        registry.listen(([0, 0, 0, 0], 25), self)\n",
    ),
    (
        "import asyncore, socket\nclass A(asyncore.dispatcher):\n    def __init__(self, family=None):\n        self.create_socket(socket.AF_INET6, socket.SOCK_STREAM)\n        self.bind(('', 25))\n        self.listen(5)\n",
        "        registry.listen(([0u16; 8], 25), self)\n",
    ),
    (
        "import asyncore, socket\nfrom socket import AF_INET6\nclass A(asyncore.dispatcher):\n    def __init__(self, family=None):\n        self.create_socket(type=1, family=AF_INET6)\n        self.bind(('', 25, 0, 0))\n        self.listen(5)\n",
        "        registry.listen(([0u16; 8], 25), self)\n",
    ),
    (
        "import asyncore, socket\nclass A(asyncore.dispatcher):\n    def __init__(self, family=None):\n        self.create_socket(socket.AF_INET6, socket.SOCK_STREAM)\n        self.bind(('2001:db8::1', 25))\n        self.listen(5)\n",
        "        registry.listen(([0x2001, 0xdb8, 0x0, 0x0, 0x0, 0x0, 0x0, 0x1], 25), self)\n",
    ),
    (
        "import asyncore, socket\nclass A(asyncore.dispatcher):\n    def __init__(self, family=None):\n        self.create_socket(family, socket.SOCK_STREAM)\n        self.bind(('', 25))\n        self.listen(5)\n",
        "        let address: Address = todo!();\n        registry.listen(address, self)\n",
    ),
    (
        "import asyncore, socket\nclass A(asyncore.dispatcher):\n    def __init__(self):\n        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)\n        self.bind(('', 20))\n        self.connect(('192.0.2.1', 21))\n",
        "        // `bind` before `connect`: the source of the options.\n        let options: ConnectOptions = todo!();\n        registry.connect_host_with(\"192.0.2.1\", 21, &options, self)\n",
    ),
    (
        "import asyncore, socket\nPORT = 70000\nclass A(asyncore.dispatcher):\n    def __init__(self, family=None):\n        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)\n        self.bind(('', PORT))\n        self.listen(5)\n",
        "        let address: Address = todo!();\n        registry.listen(address, self)\n",
    ),
    (
        "import asyncore, socket\nPORT = -1\nclass A(asyncore.dispatcher):\n    def __init__(self, family=None):\n        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)\n        self.bind(('127.0.0.1', PORT))\n        self.listen(5)\n",
        "        let address: Address = todo!();\n        registry.listen(address, self)\n",
    ),
    // Bases.
    (
        "import asyncore\nclass A(asyncore.dispatcher):\n    def __init__(self, x): self.x = x\n    def handle_read(self): pass\nclass B(A):\n    def f(self): self.g()\n    def g(self): A.handle_read(self)\n",
        "        Dispatcher::handle_read(&mut self.base, channel)?;\n",
    ),
    (
        "import asyncore\nclass A(asyncore.dispatcher):\n    def handle_read(self): pass\nclass B(A):\n    pass\n",
        "impl Dispatcher for B {\n    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {\n        Dispatcher::handle_read(&mut self.base, channel)\n    }\n}\n",
    ),
    // Producers.
    (
        "import asynchat\nclass P:\n    def more(self):\n        if self.done: return ''\n        return 'x'\nclass A(asynchat.async_chat):\n    def found_terminator(self): self.push_with_producer(P())\n",
        "        return Ok(Produced::Data(\"x\".into()));\n",
    ),
    (
        "import asynchat\nclass P:\n    def more(self): return ''\nclass A(asynchat.async_chat):\n    def found_terminator(self): self.push_with_producer(P())\n",
        "        chat.push_with_producer(P::new());\n",
    ),
    // The start of a program.
    (
        "import asyncore\nclass A(asyncore.dispatcher):\n    def handle_accept(self): pass\ndef main():\n    A()\n    asyncore.loop()\nif __name__ == '__main__':\n    main()\n",
        "    // if __name__ == '__main__':\n    // main()\n    main_2(reactor)?;\n    Ok(reactor.run()?)\n",
    ),
];

/// Each as a program.
pub fn pieces() -> Vec<(String, String)> {
    let programs = PIECES.iter().enumerate();
    programs
        .map(|(number, (python, _))| (format!("piece {number}"), skeleton(&[("a.py", python)])))
        .collect()
}

#[test]
fn each_program_has_its_piece() {
    for (python, expected) in PIECES {
        let text = skeleton(&[("a.py", python)]);
        assert!(text.contains(expected), "{python}\n{text}");
    }
}
