//! `constellation-sync trigger`, and the two scripts through which a station calls it.

mod case;
mod due;
mod scripts;
mod terminal;
