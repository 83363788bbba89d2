//! The command table and every data command.
