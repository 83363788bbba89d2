//! Dumps without the data, for backups of the libraries of functions (`redis-cli --functions-rdb`): REPLCONF `rdb-filter-only` before SYNC.

use commands::{Done, Error};
use store::Keyspace;

use crate::sessions::client::DumpParts;
use crate::{ClientId, Engine};

/// The names of parts, blanks between them; none for a dump that holds nothing.
///
/// # Errors
/// Of names that are none.
pub(crate) fn parse_parts(value: &[u8]) -> Result<DumpParts, Error> {
    let mut parts = DumpParts::default();
    let words = value.split(|byte| *byte == b' ');
    for word in words.filter(|word| !word.is_empty()) {
        if !word.eq_ignore_ascii_case(b"functions") {
            return Err(Error::quoting(
                "ERR Unsupported rdb-filter-only option: ",
                word,
                "",
            ));
        }
        parts.functions = true;
    }
    Ok(parts)
}

impl Engine {
    /// Answers SYNC or PSYNC with these parts, and goes on with the stream: they are small and change seldom, so that no child has to
    /// write them.
    pub(crate) fn send_filtered_dump(
        &mut self,
        id: ClientId,
        parts: DumpParts,
        psync: bool,
    ) -> Done {
        let request = self.save_request();
        let options = rdb::SaveOptions {
            compress: request.compress,
            checksum: request.checksum,
            facts: Some(&request.facts),
            functions: if parts.functions {
                &request.functions
            } else {
                &[]
            },
            ..rdb::SaveOptions::default()
        };
        let (dump, _) = rdb::save(&Keyspace::new(1, false), Vec::new(), options, |_| Ok(()))
            .map_err(|error| Error::owned(format!("ERR {error}")))?;
        let offset = self.journal.replicas.offset();
        let select = self.begin_filtered_stream(id, psync, offset);
        let out = &mut self.sessions.clients[id].out;
        if psync {
            let from = offset.saturating_sub(select.len() as u64);
            let stream = &self.journal.replicas.id;
            out.raw(format!("+FULLRESYNC {stream} {from}\r\n").as_bytes());
        }
        out.raw(format!("${}\r\n", dump.len()).as_bytes());
        out.raw(&dump);
        out.raw(&select);
        Ok(())
    }
}
