//! CGI/1.1 (RFC 3875) without a server around it: which file a path names, what a script is told, what its answer means.

pub mod answer;
pub mod environment;
pub mod place;
pub mod relay;
