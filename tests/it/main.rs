//! What the program and the library promise, seen from outside.

mod cli;
