// The modules under test and the targets, as they stand in the root of a crate: the modules of the examples look for
// each other there. Included by lib.rs beside this file and by tests/fuzz_corpus.rs of the crate.

#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/access_log.rs"]
mod access_log;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/answer.rs"]
mod answer;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_client/async_http.rs"]
mod async_http;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/board.rs"]
mod board;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/body.rs"]
mod body;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/channel.rs"]
mod channel;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/conditional.rs"]
mod conditional;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_client/consumer.rs"]
mod consumer;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/history.rs"]
mod history;
#[path = "../../examples/http_common/mod.rs"]
mod http_common;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/limits.rs"]
mod limits;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/listing.rs"]
mod listing;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/page.rs"]
mod page;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/pages.rs"]
mod pages;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/paths.rs"]
mod paths;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/reply.rs"]
mod reply;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_common/response.rs"]
mod response;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/send.rs"]
mod send;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/server.rs"]
mod server;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/status.rs"]
mod status;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_common/url.rs"]
mod url;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/waiting.rs"]
mod waiting;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../examples/http_server/worker.rs"]
mod worker;

#[allow(unreachable_pub, reason = "a test includes them too")]
#[path = "targets/mod.rs"]
pub mod targets;
