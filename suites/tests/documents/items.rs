//! What the documents name as `Type::name` is there, if the type is one of the crate's own.

use std::collections::BTreeMap;

use crate::{named::words, nothing_wrong, repository};

/// The page that is about what nobody else sees.
const OF_THE_INSIDE: &str = "docs/design.md";

/// What each public type has: its functions, constants, fields and variants, and the type it dereferences to.
#[derive(Default)]
struct Items {
    /// With whether it is public.
    of: BTreeMap<String, BTreeMap<String, bool>>,
    targets: BTreeMap<String, String>,
}

impl Items {
    /// Of sources that are formatted: what begins at the left margin ends at a `}` there.
    fn read(sources: &[String]) -> Self {
        let mut all = Self::default();
        for line in sources.iter().flat_map(|source| source.lines()) {
            if let Some(name) = public_type(line) {
                all.of.insert(name.to_owned(), BTreeMap::new());
            }
        }
        for source in sources {
            all.add(source);
        }
        all
    }

    fn add(&mut self, source: &str) {
        let mut of: Option<&str> = None;
        let mut all_public = false;
        for line in source.lines() {
            if let Some(name) = public_type(line).or_else(|| implemented(line)) {
                of = Some(name);
                // Variants, and what a trait declares or has implemented, are as public as the type.
                all_public = line.starts_with("pub enum")
                    || line.starts_with("pub trait")
                    || line.contains(" for ");
            } else if line.starts_with('}') {
                of = None;
            }
            let Some(items) = of.and_then(|name| self.of.get_mut(name)) else {
                continue;
            };
            let Some(text) = line.strip_prefix("    ") else {
                continue;
            };
            if let Some(target) = text.strip_prefix("type Target = ") {
                let target = words(target).next().unwrap_or_default();
                self.targets
                    .insert(of.unwrap().to_owned(), target.to_owned());
            }
            if let Some(item) = item(text) {
                let public = items.entry(item.to_owned()).or_default();
                *public |= all_public || text.starts_with("pub ");
            }
        }
    }

    /// `None` for a type of somebody else.
    fn has(&self, name: &str, item: &str, inside: bool) -> Option<bool> {
        let own = self.of.get(name)?.get(item);
        let own = own.is_some_and(|public| *public || inside);
        let target = self.targets.get(name);
        let lent = || target.and_then(|target| self.has(target, item, inside)) == Some(true);
        Some(own || lent())
    }

    /// What is wrong with `Type::name(…).other(…)`; `None` for a type of somebody else.
    fn check(&self, span: &str, inside: bool) -> Option<Result<(), String>> {
        let (name, rest) = span.split_once("::")?;
        let item = words(rest).next().filter(|item| !item.is_empty())?;
        if !self.has(name, item, inside)? {
            return Some(Err(format!("{name} has no {item}")));
        }
        for next in rest.split(").").skip(1) {
            let called = words(next).next().unwrap_or_default();
            let anybody = || {
                self.of
                    .keys()
                    .any(|name| self.has(name, called, inside) == Some(true))
            };
            if next[called.len()..].starts_with('(') && !anybody() {
                return Some(Err(format!("nothing of the crate has {called}")));
            }
        }
        Some(Ok(()))
    }
}

fn public_type(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ")?;
    let kinds = ["struct ", "enum ", "trait "];
    let rest = kinds.iter().find_map(|kind| rest.strip_prefix(kind))?;
    words(rest).next()
}

/// The type of `impl<…> Type<…> {` or `impl<…> Trait for Type<…> {`.
fn implemented(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("impl")?;
    if rest.starts_with('<') {
        let mut depth = 0;
        let end = rest.find(|c| {
            depth += i32::from(c == '<') - i32::from(c == '>');
            depth == 0
        });
        rest = &rest[end? + 1..];
    }
    let name = rest.split_once(" for ").map_or(rest, |(_, name)| name);
    words(name.trim_start()).next()
}

/// A function, a constant, a field or a variant.
fn item(text: &str) -> Option<&str> {
    let text = match text.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.strip_prefix(' ')?,
        None => text,
    };
    let text = text
        .strip_prefix("const fn ")
        .or(text.strip_prefix("const "))
        .or(text.strip_prefix("fn "))
        .unwrap_or(text);
    let name = words(text).next().filter(|name| !name.is_empty())?;
    let rest = &text[name.len()..];
    let ends = [",", ":", "(", "<", " {", " ="];
    ends.iter().any(|end| rest.starts_with(end)).then_some(name)
}

#[test]
fn every_item_of_a_type_that_is_named_exists() {
    let (Some(pages), Some(files)) = (repository::pages(), repository::files(&[".rs"])) else {
        return;
    };
    let files = files.iter().filter(|file| file.starts_with("src/"));
    let items = Items::read(&files.map(|file| repository::text(file)).collect::<Vec<_>>());
    for name in [
        "Builder",
        "Channel",
        "ChatDispatcher",
        "Harness",
        "Registry",
        "State",
    ] {
        let known = items.of.get(name).map_or(0, BTreeMap::len);
        assert!(known > 3, "only {known} items of {name} found");
    }
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in &pages {
        for span in page.spans() {
            let Some(found) = items.check(&span, page.name == OF_THE_INSIDE) else {
                continue;
            };
            checked += 1;
            if let Err(why) = found {
                wrong.push(format!("{}: names {span}: {why}", page.name));
            }
        }
    }
    eprintln!("{checked} items named");
    assert!(checked > 20, "only {checked} names found");
    nothing_wrong(wrong);
}

#[test]
fn items_are_found_in_declarations_and_impls_of_their_own_type() {
    let source = "\
pub struct A<'a> {
    pub field: u8,
    hidden: u8,
}
impl<'a, T: Into<u8> + 'a> A<'a> {
    /// Not here.
    pub fn new<T>() {
        fn inner() {}
    }
    pub const MAX: u8 = 1;
    pub const fn zero() {}
    pub(crate) fn ours() {}
}
pub enum E {
    One,
    Two(u8),
}
impl Deref for E {
    type Target = A<'static>;
}
struct P;
impl P {
    pub fn p() {}
}
";
    let items = Items::read(&[source.to_owned()]);
    for good in
        "A::new A::MAX A::zero() A::field E::One E::Two E::new A::new(\"x.y(\").zero()".split(' ')
    {
        assert_eq!(items.check(good, false), Some(Ok(())), "{good}");
    }
    for bad in "A::inner A::p A::One E::Not A::new().gone() A::hidden A::ours".split(' ') {
        assert!(matches!(items.check(bad, false), Some(Err(_))), "{bad}");
    }
    for other in "P::p Vec::new a::b A".split(' ') {
        assert_eq!(items.check(other, false), None, "{other}");
    }
    assert_eq!(items.check("A::ours", true), Some(Ok(())));
    assert_eq!(items.check("A::hidden", true), Some(Ok(())));
}
