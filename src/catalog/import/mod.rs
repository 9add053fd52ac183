//! Writing the assets from tables.
//!
//! Each importer reads a CSV file with a header line, one row an entry, and answers with the RON text of
//! the asset. A missing or unknown column, a cell that does not fit and an entry that makes no sense are
//! errors with their line; an empty cell is a figure that is not known.

mod hardware;
mod models;
mod prices;
mod table;

pub use hardware::hardware_from_csv;
pub use models::models_from_csv;
pub use prices::prices_from_csv;
pub use table::ImportError;
