//! `shared::http::forward_proxy`: requests go to their servers and answers come back, however the bytes are cut and whatever either
//! side does.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

mod endings;
mod forwarding;
mod lies;
mod limits;
mod refusing;
mod scene;
mod tunnels;
