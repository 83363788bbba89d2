//! The configuration grammar: quoting, sizes, directive tables, rewriting.
