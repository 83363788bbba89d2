//! `repl-diskless-load swapdb`: a copy is loaded beside the data that are here, which are served meanwhile, and takes their place once it is
//! whole. For that time memory holds both.

use commands::Flags;

use crate::Engine;
use crate::keeper::persistence::Beside;

impl Engine {
    /// The dump that has come is to be loaded beside the data.
    pub(super) fn load_beside(&mut self) {
        let by_slot = self.config.cluster_enabled;
        self.keeper.persistence.beside = Some(Beside {
            keyspace: self.shard.keyspace.beside(by_slot),
            libraries: Vec::new(),
            imports: Vec::new(),
        });
    }

    /// Whether the data that are here are served while a copy is loaded, and this command may run.
    pub(crate) fn serves_while_loading(&self, flags: Flags) -> bool {
        self.keeper.persistence.beside.is_some() && !flags.has(Flags::NO_ASYNC_LOADING)
    }

    /// What was loaded beside the data takes their place; where the copy is not wanted any more it is forgotten. Whether the data are those
    /// of the copy.
    pub(super) fn take_beside(&mut self, wanted: bool) -> bool {
        if self.keeper.persistence.beside.is_none() {
            return true;
        }
        if !wanted {
            self.drop_beside();
            return false;
        }
        self.give_up_data();
        let Some(mut beside) = self.keeper.persistence.beside.take() else {
            return true;
        };
        tracing::info!("PRIMARY <-> REPLICA sync: Swapping active DB with loaded DB");
        std::mem::swap(&mut self.shard.keyspace, &mut beside.keyspace);
        if let Err(error) = self.load_libraries(&beside.libraries, false) {
            tracing::warn!("The primary's functions are not all here: {error}");
        }
        self.adopt_slot_imports(beside.imports);
        true
    }

    /// What was loaded beside the data is of no use.
    pub(super) fn drop_beside(&mut self) {
        let Some(mut beside) = self.keeper.persistence.beside.take() else {
            return;
        };
        tracing::info!(
            "PRIMARY <-> REPLICA sync: Discarding the loaded DB, the data that are here stay"
        );
        for db in 0..beside.keyspace.databases() {
            beside.keyspace.db(db).clear();
            let garbage = beside.keyspace.db(db).take_garbage();
            self.host.free_later(garbage);
        }
    }
}
