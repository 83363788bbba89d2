//! A copy of the primary's data: the dump that comes, how it takes the place of the data that are here, and the place in the stream that
//! they stand at then.

use conf::DisklessLoad;
use replication::{Input, Place};

use crate::keeper::persistence::Purpose;
use crate::keeper::slave::{Head, Slave, Transfer};
use crate::{Action, Engine};

impl Engine {
    /// The dump that comes cannot be kept: it is not wanted any more, and the data that are here stay. `line` is logged.
    pub fn sync_file_failed(&mut self, line: &str) {
        let now_ms = self.now.mono_ms;
        if let Some(slave) = &mut self.keeper.slave {
            slave.link.handle_input(now_ms, Input::Unusable(line));
        }
        self.perform_link();
    }

    /// The dump that has come, or comes, is about to be loaded: what is here makes room for it. False where it is not wanted any more,
    /// since the link was lost meanwhile.
    pub fn begin_sync_load(&mut self) -> bool {
        let wanted = self.keeper.slave.as_ref().is_some_and(Slave::is_loading);
        if wanted {
            self.end_save_before_copy();
            if self.config.repl_diskless_load == DisklessLoad::Swapdb {
                self.load_beside();
            } else {
                tracing::info!("PRIMARY <-> REPLICA sync: Flushing old data");
                self.give_up_data();
            }
            tracing::info!("PRIMARY <-> REPLICA sync: Loading DB in memory");
        }
        wanted
    }

    /// What a child saves of the old data must not take the place of the dump that came.
    fn end_save_before_copy(&mut self) {
        let running = self.keeper.persistence.running;
        if let Some(running) = running.filter(|running| running.purpose == Purpose::Save) {
            tracing::info!(
                "Replica is about to load the RDB file received from the primary, but there is a pending RDB child running. Killing \
                 process {} and removing its temp file to avoid any race",
                running.pid
            );
            self.kill_dump_child();
        }
    }

    /// Nothing is left of the data that are here.
    pub(super) fn give_up_data(&mut self) {
        // If loading fails nobody can go on from here.
        if let Some(slave) = &mut self.keeper.slave {
            slave.resumable = false;
            slave.down_mono_ms = None;
        }
        self.journal.append_only.outdated = true;
        // Our own replicas have to copy the new data.
        self.disconnect_replicas();
        self.free_backlog();
        self.forget_imports("Full resynchronization occurred");
        self.break_watches_on_flush(None);
        self.empty_keyspace();
        self.forget_libraries();
    }

    /// The dump cannot be loaded to its end: a part of a dataset is not kept.
    pub fn drop_half_loaded(&mut self) {
        if self.keeper.persistence.beside.is_some() {
            return self.drop_beside();
        }
        self.empty_keyspace();
        self.forget_libraries();
    }

    /// The dump that was received has been loaded: its size, where it was put into the place of the base to be. Or it cannot be: the line
    /// to be logged.
    pub fn sync_loaded(&mut self, result: Result<Option<u64>, String>) {
        let now_ms = self.now.mono_ms;
        let told = self.keeper.persistence.loaded_place.take();
        let open_slots = std::mem::take(&mut self.keeper.persistence.loaded_open_slots);
        let slave = self.keeper.slave.as_mut();
        let goes_on = slave.as_ref().is_some_and(|slave| slave.is_loading());
        let announced = slave.and_then(|slave| slave.announced.take());
        match result {
            Ok(base) => {
                if !self.take_beside(goes_on || announced.is_some()) {
                    return self.remove_received();
                }
                // What is in the append-only file is not what is here, whatever became of the link meanwhile.
                self.place_loaded(announced, told);
                self.adopt_open_slots(&open_slots);
                self.restart_append_only(base);
            }
            Err(line) => {
                self.drop_beside();
                if goes_on {
                    self.sync_file_failed(&line);
                }
                return;
            }
        }
        if !goes_on {
            return;
        }
        self.start_stream();
        let mut dual = false;
        if let Some(slave) = &mut self.keeper.slave {
            dual = slave.link.is_dual();
            slave.link.handle_input(now_ms, Input::Loaded);
        }
        if !dual {
            tracing::info!("PRIMARY <-> REPLICA sync: Finished with success");
        }
        self.perform_link();
        self.send_ack();
    }

    /// The data that were loaded stand at this place in the primary's stream. `told` is what the dump says of itself.
    fn place_loaded(&mut self, announced: Option<Place>, told: Option<rdb::StreamPlace>) {
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        if !slave.link.is_loading() && announced.is_none() {
            // The link was lost meanwhile: what was loaded is a start, but no stream follows it.
            return;
        }
        slave.resumable = announced.is_some();
        let database = told
            .and_then(|place| usize::try_from(place.database?).ok())
            .filter(|db| *db < self.shard.keyspace.databases());
        // A primary that knows no PSYNC has no name for its stream: then our replicas know it by one of ours.
        self.rename_stream();
        let offset = announced.map_or(0, |(id, offset)| {
            self.journal.replicas.id = id;
            offset
        });
        self.place_stream(offset, database);
    }

    pub(super) fn begin_transfer(&mut self, size: Option<u64>) {
        let in_memory = match self.config.repl_diskless_load {
            DisklessLoad::Disabled => false,
            DisklessLoad::OnEmptyDb => self.shard.keyspace.is_empty(),
            DisklessLoad::Swapdb | DisklessLoad::FlushBeforeLoad => true,
        };
        let to = if in_memory { "memory" } else { "disk" };
        match size {
            Some(bytes) => tracing::info!(
                "PRIMARY <-> REPLICA sync: receiving {bytes} bytes from primary to {to}"
            ),
            None => tracing::info!(
                "PRIMARY <-> REPLICA sync: receiving streamed RDB from primary with EOF to {to}"
            ),
        }
        if let Some(slave) = &mut self.keeper.slave {
            slave.transfer = Some(Transfer {
                size,
                came: 0,
                in_memory,
                loading: false,
            });
            slave.head = Head::default();
        }
        self.act(Action::BeginSyncFile { in_memory });
    }

    /// A dump in memory is loaded while it comes, once its beginning tells whether it is wanted. One that is whole as soon is not worth that.
    pub(super) fn load_coming_dump(&mut self) {
        let Some(slave) = &self.keeper.slave else {
            return;
        };
        let Some(transfer) = slave.transfer else {
            return;
        };
        if !transfer.in_memory || slave.is_loading() || !slave.head.tells() {
            return;
        }
        let (from, size) = (slave.link.announced(), transfer.size);
        let link = if slave.link.is_dual() {
            slave.second
        } else {
            slave.socket
        };
        let Some(link) = link.filter(|_| self.can_read_dump() && self.takes_dump(from.as_ref()))
        else {
            return;
        };
        let slave = self.keeper.slave.as_mut();
        if let Some(transfer) = slave.and_then(|slave| slave.transfer.as_mut()) {
            transfer.loading = true;
            self.act(Action::LoadComing { link, bytes: size });
        }
    }

    /// What is loaded of a dump that comes shows that its connection is not silent: nothing may be read from it for now.
    pub(crate) fn note_dump_goes_on(&mut self) {
        let now_ms = self.now.mono_ms;
        let slave = self.keeper.slave.as_mut();
        if let Some(slave) = slave.filter(|slave| slave.loads_coming_dump()) {
            slave.link.set_active(now_ms);
        }
    }

    pub(super) fn load_dump(&mut self, from: Option<Place>) {
        if let Some(slave) = &mut self.keeper.slave
            && slave
                .transfer
                .take_if(|transfer| transfer.loading)
                .is_some()
        {
            slave.announced = from;
            return self.act(Action::EndSyncFile);
        }
        if !self.can_read_dump() || !self.takes_dump(from.as_ref()) {
            return;
        }
        let mut transfer = None;
        if let Some(slave) = &mut self.keeper.slave {
            transfer = slave.transfer.take();
            slave.announced = from;
        }
        let on_disk = !transfer.is_some_and(|transfer| transfer.in_memory);
        let path = on_disk.then(|| self.config.dbfilename.clone());
        let base = if on_disk { self.wanted_base() } else { None };
        self.act(Action::LoadSyncFile { path, base });
    }
}
