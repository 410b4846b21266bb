//! The page `/-/status`: the live reactor. It reloads itself, with a script without flicker, without one by itself.

use std::fmt::{self, Display};

use asynchat::{ChannelInfo, Registry};

use crate::{
    history::History,
    http_common::escape::Html,
    limits,
    page::{self, Size},
};

/// The path of the page.
pub(crate) const PATH: &str = "/-/status";

const HEAD: &str = "\
<noscript><meta http-equiv=\"refresh\" content=\"2\"></noscript>
<script>
setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, {cache: 'no-store'});
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    document.querySelector('main').replaceWith(page.querySelector('main'));
  } catch (error) { /* the server is away: what is shown stays */ }
}, 1000);
</script>
";

/// Makes the page.
pub(crate) fn page(registry: &Registry, history: &History, requests: u64) -> String {
    page::document(
        "Server status",
        HEAD,
        "Server status",
        Status {
            registry,
            history,
            requests,
        },
    )
}

struct Status<'a> {
    registry: &'a Registry,
    history: &'a History,
    requests: u64,
}

impl Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.registry.stats();
        f.write_str("<div class=\"tiles\">\n")?;
        for (label, value) in [
            ("requests", self.requests),
            ("open channels", stats.channels as u64),
            ("accepted", stats.accepted),
            ("accept pauses", stats.accept_pauses),
            ("turns", stats.turns),
            ("events", stats.events),
            ("callbacks", stats.callbacks),
            ("timers", stats.timers as u64),
            ("errors", stats.errors),
        ] {
            writeln!(f, "<div><b>{value}</b>{label}</div>")?;
        }
        for (label, bytes) in [("received", stats.bytes_in), ("sent", stats.bytes_out)] {
            writeln!(f, "<div><b>{}</b>{label}</div>", Size(bytes))?;
        }
        f.write_str("</div>\n<h2>The last two minutes</h2>\n")?;
        let (requests, bytes) = self.history.last();
        writeln!(
            f,
            "{}\n<p><span style=\"color:#d9822b\">■</span> {requests} requests/s, at most {} \
             &nbsp; <span style=\"color:#2f7ed8\">■</span> {}/s sent, at most {}/s</p>",
            self.history,
            self.history.most_requests(),
            Size(bytes),
            Size(self.history.most_bytes()),
        )?;
        self.channels(f)
    }
}

impl Status<'_> {
    fn channels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "<h2>Open channels</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>Channel</th><th>Type</th><th>State</th>\
             <th>Peer</th><th class=\"n\">Age</th><th class=\"n\">In</th><th class=\"n\">Out</th>\
             <th class=\"n\">Queue</th></tr></thead>\n<tbody>\n",
        )?;
        let mut hidden = 0;
        for (row, channel) in self.registry.channels().enumerate() {
            if row < limits::STATUS_ROWS {
                row_of(f, &channel)?;
            } else {
                hidden += 1;
            }
        }
        f.write_str("</tbody>\n</table></div>\n")?;
        if hidden > 0 {
            writeln!(
                f,
                "<p class=\"soft\">{hidden} more channels are not shown.</p>"
            )?;
        }
        Ok(())
    }
}

fn row_of(f: &mut fmt::Formatter<'_>, channel: &ChannelInfo) -> fmt::Result {
    let peer = channel
        .peer
        .as_ref()
        .map_or_else(String::new, ToString::to_string);
    // `a::b::Chat<c::d::Session>` is known well enough as `Session`.
    let name = channel.type_name.trim_end_matches('>');
    let name = name.rsplit("::").next().unwrap_or(name);
    let age = channel.age.as_secs();
    writeln!(
        f,
        "<tr><td>{}</td><td>{}</td><td>{:?}</td><td>{}</td><td class=\"n\">{}:{:02}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
        channel.id,
        Html(name),
        channel.state,
        Html(&peer),
        age / 60,
        age % 60,
        Size(channel.bytes_in),
        Size(channel.bytes_out),
        Size(channel.outgoing_len as u64),
    )
}
