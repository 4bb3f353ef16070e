//! What strfry does as a program, and its stand-in with it.
//!
//! The facts were observed on strfry master f8a56a8. `STRFRY=/path/to/strfry` runs these
//! same tests on a real one; those of the stand-in's own hooks stay with the stand-in.

mod case;
mod hooks;
mod import;
mod process;
mod rules;
mod scan;
