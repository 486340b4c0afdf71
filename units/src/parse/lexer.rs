//! parse: lexer.
