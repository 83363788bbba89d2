//! The benchmark: one load, put on this server, on every Redis or Valkey beside it, and on a server that does nothing.
//!
//! It measures and prints; it judges nothing, and no test asserts a speed. All programs run on one core, in turns, while the load
//! comes from another core; every figure is the median of several rounds.
//!
//! # Layout
//!
//! - [`request`]: what is sent: request bytes with holes for the numbers that are drawn for each request.
//! - [`replies`]: how many replies have come, without keeping them.
//! - [`load`]: the load generator: many connections, pipelines, a histogram of latencies.
//! - [`limit`]: the server that only cuts requests and answers `+OK`.
//! - [`program`]: the programs compared: how they are found, started and ended.
//! - [`control`]: one connection for what is asked in between (`INFO`, `SAVE`).
//! - [`machine`]: cores, CPU clocks, resident memory, limits on open files.
//! - [`options`]: what the command line chooses.
//! - [`sections`]: what is measured, a file per section.
//! - [`stats`]: medians, ratios, and how figures are printed.
//! - [`report`]: tables, for a terminal and as Markdown.
//! - [`chart`]: the chart.
//! - [`tls`]: certificates and encrypted sockets for a load through TLS.

pub mod chart;
pub mod control;
pub mod limit;
pub mod load;
pub mod machine;
pub mod options;
pub mod program;
pub mod replies;
pub mod report;
pub mod request;
pub mod sections;
pub mod stats;
pub mod tls;
