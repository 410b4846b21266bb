//! The links of a page in HTML: what a browser would fetch, or a user could follow.

use html5gum::{DefaultEmitter, Token, Tokenizer};

use super::url::Url;

/// More links of a page are overlooked.
const MAX_LINKS: usize = 10_000;
/// Bytes of a URL: longer ones are overlooked. One long base would make all of them long.
pub const MAX_URL: usize = 2048;

/// The URLs that a page links to, in their order, without their fragments. Those that are not of `http` are left out.
pub fn links(page: &[u8], url: &Url) -> Vec<Url> {
    let mut emitter = DefaultEmitter::default();
    // The content of a script is no markup.
    emitter.naively_switch_states(true);
    let mut base = url.clone();
    let mut has_base = false;
    let mut links = Vec::new();
    for token in Tokenizer::new_with_emitter(page, emitter) {
        let Ok(Token::StartTag(tag)) = token else {
            continue;
        };
        let attribute = match &*tag.name.0 {
            b"a" | b"area" | b"link" | b"base" => &b"href"[..],
            b"img" | b"script" | b"iframe" | b"frame" | b"source" | b"video" | b"audio"
            | b"embed" | b"track" => b"src",
            _ => continue,
        };
        let value = tag.attributes.get(attribute);
        let Some(value) = value.filter(|value| value.len() <= MAX_URL) else {
            continue;
        };
        let link = base.join(value).ok();
        let Some(link) = link.filter(|link| link.absolute().len() <= MAX_URL) else {
            continue;
        };
        if &*tag.name.0 == b"base" {
            if !has_base {
                (base, has_base) = (link, true);
            }
        } else if links.len() < MAX_LINKS {
            links.push(link);
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_markup_and_nowhere_else() {
        let url = Url::parse(b"http://a.example/b/c").expect("a URL");
        for (page, expected) in [
            ("<a href=d>", &["http://a.example/b/d"][..]),
            ("<A HREF='/d#e'>", &["http://a.example/d"]),
            (
                "<a href=\"d?x=1&amp;y=2\">",
                &["http://a.example/b/d?x=1&y=2"],
            ),
            ("<a href=' //e.example '>", &["http://e.example/"]),
            (
                "<img src=i><script src=s></script><link href=l>",
                &[
                    "http://a.example/b/i",
                    "http://a.example/b/s",
                    "http://a.example/b/l",
                ],
            ),
            (
                "<base href=/x/><base href=/y/><a href=d>",
                &["http://a.example/x/d"],
            ),
            (
                "<!-- <a href=d> --><script>'<a href=e>'</script><textarea><a href=f>",
                &[],
            ),
            (
                "<a href=mailto:x><a href=javascript:x><a href=''><a name=x>",
                &["http://a.example/b/c"],
            ),
            ("<a href=http://me:secret@a.example/>", &[]),
            ("<a href=d", &[]),
            ("\u{0}<a\u{0}href=d>", &[]),
        ] {
            let found: Vec<_> = links(page.as_bytes(), &url)
                .iter()
                .map(Url::to_string)
                .collect();
            assert_eq!(found, expected, "{page}");
        }
    }

    #[test]
    fn a_page_of_links_alone_is_bounded() {
        let url = Url::parse(b"http://a.example/").expect("a URL");
        let page = "<a href=x>".repeat(MAX_LINKS + 1);
        assert_eq!(links(page.as_bytes(), &url).len(), MAX_LINKS);
        for long in ["<base href={}>", "<a href={}>"] {
            let long = long.replace("{}", &"x/".repeat(MAX_URL / 2));
            let page = format!("{long}<a href=x>");
            let found: Vec<_> = links(page.as_bytes(), &url)
                .iter()
                .map(Url::to_string)
                .collect();
            assert_eq!(found, ["http://a.example/x"]);
        }
    }
}
