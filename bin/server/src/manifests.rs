//! The manifests of append-only files get to the disk on a thread of their own, one after the other: clients are served meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use daemon::reason;
use tokio::sync::Notify;

use crate::append_only::write_manifest;

type Written = Result<(), String>;

/// What is to be written where, and who is told.
struct Order {
    path: PathBuf,
    content: Vec<u8>,
    told: Sender<Written>,
}

/// The way to that thread.
#[derive(Debug)]
pub(crate) struct Manifests {
    orders: Option<Sender<Order>>,
    /// Notified when one is there.
    done: Arc<Notify>,
    /// Tells what came of the last one that was started.
    last: Option<Receiver<Written>>,
}

impl Manifests {
    pub(crate) fn new(done: Arc<Notify>) -> Self {
        Self {
            orders: None,
            done,
            last: None,
        }
    }

    fn order(&mut self, path: &Path, content: &[u8]) -> Result<Receiver<Written>, String> {
        let failed = |error: &std::io::Error| {
            let path = path.display();
            format!(
                "Can't write the AOF manifest file {path}: {}",
                reason(error)
            )
        };
        let orders = match &self.orders {
            Some(orders) => orders,
            None => {
                let started = start(Arc::clone(&self.done));
                self.orders.insert(started.map_err(|error| failed(&error))?)
            }
        };
        let (told, last) = channel();
        let order = Order {
            // The working directory may be another one before it is written.
            path: std::path::absolute(path).map_err(|error| failed(&error))?,
            content: content.to_vec(),
            told,
        };
        // Should the thread be gone the answer says so.
        let _ = orders.send(order);
        Ok(last)
    }

    /// Replaces a manifest, after those that were started; waits for it.
    pub(crate) fn write(&mut self, path: &Path, content: &[u8]) -> Written {
        self.order(path, content)?.recv().unwrap_or_else(|_| gone())
    }

    /// The same without waiting: [`Manifests::poll`] tells what came of it, or the answer where that is known at once.
    pub(crate) fn start(&mut self, path: &Path, content: &[u8]) -> Option<Written> {
        match self.order(path, content) {
            Ok(last) => {
                self.last = Some(last);
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// What came of the one that was started last; told once.
    pub(crate) fn poll(&mut self, wait: bool) -> Option<Written> {
        let last = self.last.take()?;
        if wait {
            return Some(last.recv().unwrap_or_else(|_| gone()));
        }
        match last.try_recv() {
            Ok(written) => Some(written),
            Err(TryRecvError::Disconnected) => Some(gone()),
            Err(TryRecvError::Empty) => {
                self.last = Some(last);
                None
            }
        }
    }
}

fn gone() -> Written {
    Err("The thread that writes AOF manifests is gone".to_owned())
}

fn start(done: Arc<Notify>) -> std::io::Result<Sender<Order>> {
    let (orders, taken) = channel::<Order>();
    std::thread::Builder::new()
        .name("aof-manifest".to_owned())
        .spawn(move || {
            for order in taken {
                let written = write_manifest(&order.path, &order.content);
                // Nobody has to want to know.
                let _ = order.told.send(written);
                done.notify_one();
            }
        })?;
    Ok(orders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_manifest_is_what_stands_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest");
        let mut manifests = Manifests::new(Arc::default());
        assert_eq!(manifests.poll(true), None);
        for number in 0..20 {
            assert_eq!(manifests.start(&path, format!("{number}").as_bytes()), None);
        }
        assert_eq!(manifests.poll(true), Some(Ok(())));
        assert_eq!(manifests.poll(true), None);
        assert_eq!(std::fs::read(&path).unwrap(), b"19");
        manifests.start(&path, b"before");
        assert_eq!(manifests.write(&path, b"behind"), Ok(()));
        assert_eq!(std::fs::read(&path).unwrap(), b"behind");
        let nowhere = dir.path().join("none").join("manifest");
        assert_eq!(manifests.start(&nowhere, b""), None);
        let told = manifests.poll(true).unwrap().unwrap_err();
        assert!(
            told.starts_with("Can't write the AOF manifest file"),
            "{told}"
        );
    }
}
