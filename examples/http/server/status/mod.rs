//! The page `/-/status`: the live reactor, or all of them. It reloads itself, with a script without flicker, without one by itself.

use std::fmt::{self, Display};

use asynchat::ChannelInfo;

use shared::http::escape::html;

use self::{
    board::{Board, Snapshot},
    history::History,
};
use crate::{
    site::page::{self, Size},
    tls::Handshakes,
};

pub(crate) mod board;
mod history;

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
pub(crate) fn page(board: &Board) -> String {
    page::document(
        "Server status",
        HEAD,
        "Server status",
        Status {
            reactors: &board.snapshots(),
            history: &board.history(),
        },
    )
}

struct Status<'a> {
    /// The workers, and behind them the front if there is more than one.
    reactors: &'a [Snapshot],
    history: &'a History,
}

impl Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snapshot { counts, stats, .. } = Snapshot::total(self.reactors);
        f.write_str("<div class=\"tiles\">\n")?;
        for (label, value) in [
            ("requests", counts.requests),
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
        if counts.handshakes != Handshakes::default() {
            for (label, value) in [
                ("over TLS 1.3", counts.handshakes.tls_1_3),
                ("over TLS 1.2", counts.handshakes.tls_1_2),
                ("failed handshakes", counts.handshakes.failed),
            ] {
                writeln!(f, "<div><b>{value}</b>{label}</div>")?;
            }
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
        if self.reactors.len() > 1 {
            self.threads(f)?;
        }
        self.channels(f)
    }
}

impl Status<'_> {
    fn threads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "<h2>Threads</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>Thread</th><th class=\"n\">Requests</th>\
             <th class=\"n\">Connections</th><th class=\"n\">Open channels</th><th class=\"n\">Turns</th>\
             <th class=\"n\">Sent</th></tr></thead>\n<tbody>\n",
        )?;
        for (place, reactor) in self.reactors.iter().enumerate() {
            writeln!(
                f,
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                self.thread(place),
                reactor.counts.requests,
                reactor.counts.connections,
                reactor.stats.channels,
                reactor.stats.turns,
                Size(reactor.stats.bytes_out),
            )?;
        }
        f.write_str(
            "</tbody>\n</table></div>\n<p class=\"soft\">What is shown of other threads than the one that answers may be \
             a second old.</p>\n",
        )
    }

    fn thread(&self, place: usize) -> String {
        match place + 1 == self.reactors.len() {
            true => "main".into(),
            false => format!("{}", place + 1),
        }
    }

    fn channels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = self.reactors.len() > 1;
        let thread = if several { "<th>Thread</th>" } else { "" };
        write!(
            f,
            "<h2>Open channels</h2>\n<div class=\"scroll\"><table>\n<thead><tr>{thread}<th>Channel</th><th>Type</th>\
             <th>State</th><th>Peer</th><th class=\"n\">Age</th><th class=\"n\">In</th><th class=\"n\">Out</th>\
             <th class=\"n\">Queue</th></tr></thead>\n<tbody>\n",
        )?;
        let mut hidden = 0;
        for (place, reactor) in self.reactors.iter().enumerate() {
            for channel in &reactor.channels {
                f.write_str("<tr>")?;
                if several {
                    write!(f, "<td>{}</td>", self.thread(place))?;
                }
                row_of(f, channel)?;
            }
            hidden += reactor.stats.channels - reactor.channels.len();
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

/// The row but for its start.
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
        "<td>{}</td><td>{}</td><td>{:?}</td><td>{}</td><td class=\"n\">{}:{:02}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
        channel.id,
        html(name),
        channel.state,
        html(&peer),
        age / 60,
        age % 60,
        Size(channel.bytes_in),
        Size(channel.bytes_out),
        Size(channel.outgoing_len as u64),
    )
}
