//! The limit server by itself: `cargo run --release -p tern-bench --example limit -- 7001`, then put any load on that port.

fn main() -> anyhow::Result<()> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(7001), |port| port.parse())?;
    tern_bench::limit::serve(port)
}
