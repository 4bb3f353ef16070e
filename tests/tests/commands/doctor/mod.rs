//! The doctor finds each fault that is planted into a sound station, and on a sound one
//! nothing.

mod conduct;
mod faults;
mod faults_around;
mod faults_here;
mod sound;
