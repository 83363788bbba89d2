//! Finding the end of what this server cannot keep: streams, modules' data, hashes with expiring fields. Nothing is kept of them.

use std::io::Read;

use crate::decode::Decoder;
use crate::error::Error;
use crate::format::Encoding;

impl<R: Read> Decoder<R> {
    /// Passes over a value that [`Encoding::kind`] knows no type for.
    pub(crate) fn skip_foreign(&mut self, encoding: Encoding) -> Result<(), Error> {
        match encoding {
            Encoding::Module2 => {
                self.length()?;
                self.skip_module_data()
            }
            Encoding::Stream => self.skip_stream(1),
            Encoding::Stream2 => self.skip_stream(2),
            Encoding::Stream3 => self.skip_stream(3),
            Encoding::HashExpiring => {
                self.input.skip(EXPIRY_BYTES)?;
                for _ in 0..self.length()? {
                    self.length()?;
                    self.skip_string()?;
                    self.skip_string()?;
                }
                Ok(())
            }
            Encoding::HashExpiringListpack => {
                self.input.skip(EXPIRY_BYTES)?;
                self.skip_string()
            }
            _ => Err(self.corrupt("a value whose length only its module knows")),
        }
    }

    /// A row of typed values that a module wrote, up to its end mark.
    pub(crate) fn skip_module_data(&mut self) -> Result<(), Error> {
        loop {
            match self.length()? {
                0 => return Ok(()),
                1 | 2 => self.length().map(drop)?,
                3 => self.input.skip(4)?,
                4 => self.input.skip(8)?,
                5 => self.skip_string()?,
                _ => return Err(self.corrupt("a module's value of an unknown form")),
            }
        }
    }

    /// A stream as `generation` writes it: 1 is Redis 5, 2 is Redis 7.0, 3 is Redis 7.2.
    fn skip_stream(&mut self, generation: u8) -> Result<(), Error> {
        for _ in 0..self.length()? {
            self.skip_string()?;
            self.skip_string()?;
        }
        // Length and last id; then first id, highest deleted id and entries added.
        let numbers = if generation >= 2 { 8 } else { 3 };
        for _ in 0..numbers {
            self.length()?;
        }
        for _ in 0..self.length()? {
            self.skip_stream_group(generation)?;
        }
        Ok(())
    }

    fn skip_stream_group(&mut self, generation: u8) -> Result<(), Error> {
        self.skip_string()?;
        let numbers = if generation >= 2 { 3 } else { 2 };
        for _ in 0..numbers {
            self.length()?;
        }
        for _ in 0..self.length()? {
            self.input.skip(STREAM_ID_BYTES + TIME_BYTES)?;
            self.length()?;
        }
        for _ in 0..self.length()? {
            self.skip_string()?;
            self.input.skip(if generation >= 3 {
                2 * TIME_BYTES
            } else {
                TIME_BYTES
            })?;
            for _ in 0..self.length()? {
                self.input.skip(STREAM_ID_BYTES)?;
            }
        }
        Ok(())
    }
}

const STREAM_ID_BYTES: u64 = 16;
const TIME_BYTES: u64 = 8;
const EXPIRY_BYTES: u64 = 8;
