//! Python that is made to break the Rust: each skeleton still compiles.

use crate::skeleton;

/// A name and a program.
const SMALL: [(&str, &str); 33] = [
    ("empty", ""),
    ("no_channel", "x = 1\n"),
    (
        "keywords",
        "import asynchat\nclass type(asynchat.async_chat):\n    def __init__(self, fn, impl=1, crate='x'):\n        self.match = fn\n        self.self = impl\n        self.super = crate\n        self.gen = self.box = None\n        self._ = self.__ = 1\n    def loop(self, mod, use=None): self.loop(mod, use)\n    def r(self, async_, Self, super): pass\nclass Self(type): pass\nclass crate(type): pass\n",
    ),
    (
        "library_names",
        "import asyncore\nclass Channel(asyncore.dispatcher): pass\nclass Result(asyncore.dispatcher): pass\nclass Vec: pass\nclass Option: pass\nclass todo: pass\nclass String(Channel): pass\nclass io: pass\nclass Some(Vec): pass\nclass log(asyncore.dispatcher):\n    def __init__(self):\n        self.a = Vec()\n        self.b = ''\n        self.c = []\n        self.d = None\n        self.e = {}\n    def new(self): self.log_info('x')\n    def start(self): self.new()\nPyChannel = 1\nAsyncChat = 2\ndef main(reactor): asyncore.loop()\ndef script(registry): Channel()\ndef todo(): pass\n",
    ),
    (
        "library_names_to_be_decided",
        "import asynchat\nclass A(asynchat.async_chat):\n    def __init__(self, vec, _vec, vec_, string, option, box, result, some, none, ok, err, clone, default, simple_producer, terminator):\n        self.vec = vec\n        self.string = self.box = x()\n        self.hash_map = {}\n        self.vec_ = []\n    def found_terminator(self):\n        self.push(x)\n        self.push_with_producer(x)\n        self.set_terminator(x)\n",
    ),
    (
        "library_names_as_values",
        "import asyncore\nclass A(asyncore.dispatcher):\n    def __init__(self):\n        self.AsyncChat = 1\n        self.Address = 2\n    def Terminator(self, Produced): self.ChatChannel = self.Option\n    def Vec(self, String): pass\ndef Producer(Exceptional): pass\ndef Some(Err): pass\n",
    ),
    (
        "addresses",
        "import asyncore, socket\nPORT = 25\nclass A(asyncore.dispatcher):\n    def __init__(self):\n        self.create_socket(socket.AF_INET6, socket.SOCK_STREAM)\n        self.bind(('', PORT))\n        self.listen(5)\nclass B(asyncore.dispatcher):\n    def __init__(self):\n        self.create_socket()\n        self.bind(('2001:db8::1', 25))\n        self.listen(5)\nclass C(asyncore.dispatcher):\n    def __init__(self, family):\n        self.create_socket(family)\n        self.bind(('', 25))\n        self.listen(5)\nclass ConnectOptions(asyncore.dispatcher):\n    def __init__(self):\n        self.bind(('', 20))\n        self.connect(x)\nclass D(asyncore.dispatcher):\n    def __init__(self):\n        self.bind(('', 20))\n        self.connect(('a.example', 21))\n",
    ),
    (
        "letters",
        "import asyncore\nclass Größe(asyncore.dispatcher):\n    def __init__(self, été, 数):\n        self.Ж = été\n        self.数 = 数\n        self.\u{fb01} = 1\n        self.fi = 2\n    def naïve(self): self.naïve()\n",
    ),
    (
        "comments",
        "import asyncore\nclass A(asyncore.dispatcher):\n    '''a */ b /* c\n    //! d\n    /// e\n    \u{202e}right to left\u{2066}\n    \u{7}\u{0}\u{85}\u{2028}\u{feff}\n    '''\n    # \u{202a}\n    def handle_read(self):\n        x = '*/ \u{202e}' # */\n        self.send('\u{202e}')\n",
    ),
    (
        "carriage_returns",
        "import asyncore\rclass A(asyncore.dispatcher):\r    def handle_read(self):\r\n        self.close()\r\r\n        x = '\\\r\n'\r",
    ),
    (
        "twice",
        "import asyncore\nclass A(asyncore.dispatcher):\n    def handle_read(self): pass\n    def handle_read(self): self.close()\n    def __init__(self, a): self.a = a\n    def __init__(self): self.b = 1\n    x = 1\n    x = 2\n    @property\n    def p(self): return 1\n    @p.setter\n    def p(self, v): self._p = v\n    def set_p(self): pass\n    def close(self): pass\n    def close(self): pass\nclass A(A):\n    def handle_read(self): pass\nif 1:\n    class A: pass\nelse:\n    class A(object): pass\ndef f(): pass\ndef f(): pass\nX = 1\nX = 'a'\nX = 1\nY = Z = 2\nY: int = 2\n",
    ),
    (
        "nested",
        "import asyncore\nclass A:\n    class B(asyncore.dispatcher):\n        class C: pass\n        def f(self):\n            class D(asyncore.dispatcher): pass\n            def g(): D()\n            return lambda: self\n    def g(self):\n        class D(A.B): pass\n        D()\nclass A_B: pass\nclass AB: pass\nclass ab: pass\n",
    ),
    (
        "circles",
        "import asyncore\nclass A(B): pass\nclass B(C): pass\nclass C(A, asyncore.dispatcher):\n    def f(self): self.c = C()\nclass D(D): pass\nclass E(E.F):\n    class F(E): pass\n",
    ),
    (
        "objects_in_circles",
        "import asyncore\nclass A(asyncore.dispatcher): pass\nclass X:\n    def __init__(self): self.y = Y()\nclass Y:\n    def __init__(self): self.x = X(); self.y = Y()\n",
    ),
    (
        "diamond",
        "import asyncore, asynchat\nclass A(asyncore.dispatcher):\n    def handle_read(self): pass\n    def handle_close(self): pass\nclass B(A): pass\nclass C(A):\n    def handle_close(self): self.close()\nclass D(B, C):\n    def handle_connect(self): self.handle_close()\nclass M:\n    def handle_error(self): pass\nclass E(M, D, asynchat.async_chat):\n    def __init__(self): super().__init__()\n    def found_terminator(self): self.handle_read(); super(E, self).handle_close()\n",
    ),
    (
        "parameters",
        "import asyncore\nclass A(asyncore.dispatcher):\n    def f(): pass\n    def g(*args, **kw): pass\n    def h(self, (a, b), c=(1, 2)): pass\n    def i(self, a, a, chat, channel, registry): pass\n    def j(self, /, a, *, b: int = 1) -> None: pass\n    @staticmethod\n    def k(x): pass\n    @classmethod\n    def l(cls, x): pass\n    def handle_accept(this): c, a = this.accept(); A.f(this)\n    def collect_incoming_data(self): pass\nclass B(A):\n    def __init__(): pass\nclass C(A):\n    def __init__(*a): pass\ndef f(self, a=1, *a, **k): A(*a, **k)\nB(1, 2, x=3)\nC(*[1])\n",
    ),
    (
        "callbacks_with_other_arguments",
        "import asynchat\nclass A(asynchat.async_chat):\n    def collect_incoming_data(self, type): self.x = self.x + type\n    def found_terminator(self, a, b=1): self.found_terminator()\n    def handle_error(self, error, more): return self.close()\n    def handle_expt(self, fn): return fn\n    def handle_accepted(self, a): pass\n    def readable(self, now=None):\n        self.x = ''\n        self.y += 1\n        self.f()\n        return self.x\n    def f(self): return self.readable()\n    def more(self): return ''\n",
    ),
    (
        "the_socket_is_given_twice",
        "import asyncore\nclass S(asyncore.dispatcher):\n    def handle_accept(self):\n        conn, addr = self.accept()\n        C(conn)\n        if self.x: C(conn)\n        while 1: C(conn)\n        C(conn)\n    def __init__(self): self.x = 1\nclass C(asyncore.dispatcher):\n    def __init__(self, sock): asyncore.dispatcher.__init__(self, sock)\n",
    ),
    (
        "returns",
        "import asyncore\nclass A(asyncore.dispatcher):\n    def a(self): return 1\n    def b(self): return 'x'\n    def c(self):\n        if self.q: return None\n        return []\n    def d(self): yield 1\n    def e(self):\n        def f(): return 1\n    async def g(self): await self.a()\n    def handle_read(self):\n        return self.close()\n    def handle_write(self): return 1\n    def handle_close(self):\n        try:\n            return\n        finally:\n            self.close()\n",
    ),
    (
        "loops",
        "import asyncore\nbreak\nclass A(asyncore.dispatcher):\n    def f(self):\n        break\n        for x in y:\n            continue\n        else:\n            break\n        while 1:\n            try: self.close()\n            except: break\n            else: continue\n            finally: break\n        with x: break\n        with y as z:\n            self.close()\n        match x:\n            case 1: self.close()\n    continue\nreturn\n",
    ),
    (
        "literals",
        "import asyncore\nA = 9223372036854775808\nB = -9223372036854775808\nC = 1e400\nD = 1_000\nE = 0xFFFFFFFFFFFFFFFF\nF = '\\ud800'\nG = '\\N{BULLET}'\nH = b'\\xff' b'\"'\nI = '\\x80'\nJ = u'\\u202e{}%'\nK = 1 << 62\nL = 5L\nM = 00\nN = 1.\nO = .5e-3\nP = '''a\nb'''\nQ = rb'\\x'\nR = f'{A}'\nS = 08\nT = 1j\nU = ''\nV = b''\nclass X(asyncore.dispatcher):\n    def f(self):\n        self.send(A); self.send(F); self.send(I); self.send(J); self.send(P); self.send(Q)\n    def __init__(self):\n        self.a, self.b = A, B\n        self.h = H\n        self.j = J\n        self.n = N\n        self.p = P\n        self.d = D\n",
    ),
    (
        "one_line",
        "import asyncore; x = 1; y = 'a'\nclass A(asyncore.dispatcher): x = 1; y = 2\nclass B(asyncore.dispatcher):\n    def f(self): self.close(); return\n    def g(self): pass; pass\nif 1: A(); B()\nasyncore.loop(); print 'done'\n",
    ),
    (
        "faults",
        "import asyncore\nclass A(asyncore.dispatcher:\n    def handle_read(self:\n        self.close(\n    def (x): pass\n  def g(self): self.close()\nclass\nclass B(\n",
    ),
    ("only_a_fault", "((((((((("),
    ("same_file_names", "import asyncore\nasyncore.loop()\n"),
    (
        "unusual_decorators",
        "import asyncore\n@deco(1)\nclass A(asyncore.dispatcher):\n    @a.b\n    @c(\n      1)\n    def handle_read(self): pass\n    @overload\n    def __init__(self): pass\n",
    ),
    (
        "class_attributes",
        "import asyncore\nclass A(asyncore.dispatcher):\n    channel_class = B\n    limit = 30 * 60\n    names = {'a': 1}\n    base = None\n    base_2 = 1\n    connected = 1\n    a, b = 1, 2\n    [c, d] = e = 1, 2\n    f: int = 1\n    g: int\n    def __init__(self): self.channel_class(self)\nclass B(A):\n    base = 1\n    limit = ''\n",
    ),
    (
        "swapped",
        "import asyncore\nclass A(asyncore.dispatcher):\n    def f(self):\n        self.a, self.b = self.b, self.a\n        self.a = self.b = 1\n        self.c.d = 1\n        self[0] = 1\n        del self.a\n        self.x: int = 1\n        (self.y) = 1\n        *self.z, w = 1, 2\n        self.f().g = 1\n        self.f = self.f\n",
    ),
    (
        "conditions",
        "import asyncore\nclass A(asyncore.dispatcher):\n    def __init__(self): self.a = None; self.b = 1; self.c = ''; self.d = 1.5; self.e = A(); self.f = {}\n    def g(self):\n        if not not self.a: self.close()\n        elif self.b is None: self.close()\n        elif self.c == None != 1: self.close()\n        elif not self.d: pass\n        elif self.e: return\n        elif (not (self.f)): return None\n        else: self.close()\n",
    ),
    (
        "raising",
        "import asyncore\nfrom asyncore import ExitNow as X\nclass A(asyncore.dispatcher):\n    def readable(self): raise X\n    def handle_error(self): raise X, 'x'\n    def close(self): raise X\n    def f(self): return 1; raise X\ndef f(): raise X\nraise X\n",
    ),
    (
        "many_starts",
        "import asyncore\nclass A(asyncore.dispatcher):\n    def __init__(self, port=1): pass\ndef f(x): return g(x)\ndef g(x): f(x); A(port=x)\nfor x in y: f(x)\nasyncore.loop(30, 1)\nasyncore.close_all()\nif __name__ == '__main__': f(1)\nelse: g(2)\n",
    ),
    (
        "other_objects",
        "class object(object): pass\nfrom asyncore import *\nclass dispatcher(dispatcher): pass\nclass A(dispatcher): pass\nloop()\n",
    ),
    (
        "names_of_the_skeleton",
        "import asyncore\nclass A(asyncore.dispatcher):\n    def __init__(self, object, other, todo, address):\n        self.registry = object\n        self.channel = other\n    def f(self, reactor, object, Ok): self.channel.push('x')\n    def handle_accepted(self, channel, registry): A(channel, self, registry, 1)\n    def handle_error(self, channel, error): asyncore.dispatcher.handle_error(self)\n",
    ),
];

pub fn all() -> Vec<(String, String)> {
    let mut skeletons: Vec<_> = SMALL
        .iter()
        .map(|(name, python)| ((*name).to_owned(), skeleton(&[("a.py", python)])))
        .collect();
    let files = [
        (
            "todo.py",
            "import asyncore\nclass A(asyncore.dispatcher): pass\n",
        ),
        (
            "std/todo.py",
            "import asyncore\nfrom todo import A\nclass B(A): pass\nB()\n",
        ),
        (
            "std/__init__.py",
            "from todo import A\nclass C(A):\n    def f(self): A.f(self)\n",
        ),
        (
            "mod.py",
            "import asyncore\nX = 1\ndef f(x): asyncore.loop()\n",
        ),
        (
            "main.py",
            "import mod\nfrom std.todo import B\nmod.f(mod.X)\nclass D(B):\n    def __init__(self, b): self.b = B()\n",
        ),
        ("a-b.c.py", "import asyncore\nasyncore.loop()\n"),
    ];
    skeletons.push(("files".to_owned(), skeleton(&files)));
    skeletons.push((
        "deep_blocks".to_owned(),
        skeleton(&[("a.py", &deep_blocks())]),
    ));
    skeletons.push((
        "long_chain".to_owned(),
        skeleton(&[("a.py", &long_chain())]),
    ));
    skeletons.push((
        "long_names".to_owned(),
        skeleton(&[("a.py", &long_names())]),
    ));
    skeletons
}

fn deep_blocks() -> String {
    let mut python =
        String::from("import asyncore\nclass A(asyncore.dispatcher):\n def f(self):\n");
    for depth in 2..90 {
        python.push_str(&format!("{}if x:\n", " ".repeat(depth)));
    }
    python.push_str(&format!("{}self.close()\n", " ".repeat(90)));
    python.push_str(&format!(
        "x = {}1{}\n",
        "not (".repeat(5000),
        ")".repeat(5000)
    ));
    python
}

fn long_chain() -> String {
    let mut python = String::from(
        "import asyncore\nclass C0(asyncore.dispatcher):\n    def handle_read(self): pass\n",
    );
    for number in 1..200 {
        python.push_str(&format!("class C{number}(C{}): pass\n", number - 1));
    }
    python
}

fn long_names() -> String {
    let long = "x".repeat(5000);
    format!(
        "import asyncore\nclass {long}(asyncore.dispatcher):\n    def {long}(self, {long}, {long}1): self.{long}({long}, {long}1); self.{long} = '{long}'; self.send('{long}')\n"
    )
}
