//! Rust text, laid out as rustfmt would leave it.

/// rustfmt's `max_width`.
const WIDTH: usize = 100;
/// rustfmt's `fn_call_width`.
const ARGUMENTS: usize = 60;
/// rustfmt's `tab_spaces`.
pub(super) const INDENT: usize = 4;

/// A text that grows at its end.
#[derive(Default, Debug)]
pub(super) struct Page {
    text: String,
    depth: usize,
    /// A block was opened and is empty so far.
    is_empty_block: bool,
}

impl Page {
    /// For text inside blocks, as many as this number.
    pub(super) fn inside(depth: usize) -> Self {
        Self {
            depth,
            ..Self::default()
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn begin_line(&mut self) {
        if std::mem::take(&mut self.is_empty_block) {
            self.text.push('\n');
        }
    }

    fn margin(&self) -> usize {
        self.depth * INDENT
    }

    pub(super) fn blank(&mut self) {
        if self.is_empty_block || self.text.ends_with("\n\n") || self.text.is_empty() {
            return;
        }
        self.text.push('\n');
    }

    pub(super) fn line(&mut self, line: &str) {
        self.begin_line();
        self.text.extend(std::iter::repeat_n(' ', self.margin()));
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A comment of one line; the text is safe.
    pub(super) fn comment(&mut self, text: &str) {
        if text.is_empty() {
            self.line("//");
        } else {
            self.line(&format!("// {text}"));
        }
    }

    pub(super) fn open(&mut self, head: &str) {
        self.begin_line();
        self.text.extend(std::iter::repeat_n(' ', self.margin()));
        self.text.push_str(head);
        self.text.push_str(if head.is_empty() { "{" } else { " {" });
        self.depth += 1;
        self.is_empty_block = true;
    }

    /// Ends the block and begins another: `} else {`.
    pub(super) fn reopen(&mut self, head: &str) {
        self.begin_line();
        self.depth -= 1;
        self.open(&format!("}} {head}"));
    }

    pub(super) fn close(&mut self) {
        self.depth -= 1;
        if std::mem::take(&mut self.is_empty_block) {
            self.text.push_str("}\n");
        } else {
            self.line("}");
        }
    }

    /// `left = right`, in one line or in two.
    pub(super) fn binding(&mut self, left: &str, right: &str) {
        let one = self.margin() + left.chars().count() + 3 + right.chars().count();
        let two = self.margin() + INDENT + right.chars().count();
        if one <= WIDTH || two > WIDTH {
            self.line(&format!("{left} = {right}"));
            return;
        }
        self.line(&format!("{left} ="));
        self.depth += 1;
        self.line(right);
        self.depth -= 1;
    }

    /// `head(arguments)tail`, in one line or in one for each argument.
    pub(super) fn call(&mut self, head: &str, arguments: &[String], tail: &str) {
        let list = arguments.join(", ");
        let one = format!("{head}({list}){tail}");
        let fits =
            list.chars().count() <= ARGUMENTS && self.margin() + one.chars().count() <= WIDTH;
        // A single text is not broken.
        if fits || arguments.len() < 2 {
            self.line(&one);
            return;
        }
        if let Some((left, right)) = one.split_once(" = ")
            && list.chars().count() <= ARGUMENTS
            && self.margin() + INDENT + right.chars().count() <= WIDTH
        {
            self.binding(left, right);
            return;
        }
        self.line(&format!("{head}("));
        self.depth += 1;
        for argument in arguments {
            self.argument(argument);
        }
        self.depth -= 1;
        self.line(&format!("){tail}"));
    }

    fn argument(&mut self, argument: &str) {
        let is_long = self.margin() + argument.chars().count() + 1 > WIDTH;
        match argument.strip_suffix(".to_owned()") {
            Some(text) if is_long && self.margin() + text.chars().count() <= WIDTH => {
                self.line(text);
                self.depth += 1;
                self.line(".to_owned(),");
                self.depth -= 1;
            }
            _ => self.line(&format!("{argument},")),
        }
    }

    /// Opens `head(parameters)result {`.
    pub(super) fn function(&mut self, head: &str, parameters: &[String], result: &str) {
        let one = format!("{head}({}){result}", parameters.join(", "));
        if self.margin() + one.chars().count() + 2 <= WIDTH || parameters.is_empty() {
            self.open(&one);
            return;
        }
        self.line(&format!("{head}("));
        self.depth += 1;
        for parameter in parameters {
            self.line(&format!("{parameter},"));
        }
        self.depth -= 1;
        self.open(&format!("){result}"));
    }
}
