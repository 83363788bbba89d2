//! Finding the end of what nobody but a module can read. Nothing is kept of it.

use std::io::Read;

use crate::decode::Decoder;
use crate::error::Error;

impl<R: Read> Decoder<R> {
    /// Passes over a module's value of the second form.
    pub(crate) fn skip_module(&mut self) -> Result<(), Error> {
        self.length()?;
        self.skip_module_data()
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
}
