//! A place that is being handed over. The steps are in `failover.rs`.

/// A place that is being handed over.
#[derive(Debug)]
pub(crate) struct Failover {
    /// Who it is for; none while any replica will do.
    pub(crate) target: Option<(String, u16)>,
    /// When it is given up, or done by force ([`crate::Now::mono_ms`]).
    pub(crate) until_ms: Option<u64>,
    pub(crate) force: bool,
    /// This server follows the target, which may not know yet that it is the primary.
    pub(crate) under_way: bool,
}

impl Failover {
    /// For the log.
    pub(crate) fn name(&self) -> String {
        match &self.target {
            Some((host, port)) => format!("{host}:{port}"),
            None => "any replica".to_owned(),
        }
    }

    /// Whether it ends by itself where it does not succeed.
    pub(crate) fn has_deadline(&self) -> bool {
        self.until_ms.is_some()
    }
}
