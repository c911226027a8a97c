//! The parts that pages are made of. Classes come from `style/`; what is plain HTML with a class has no component here.

pub mod chart;
pub mod copy;
pub mod draft;
pub mod form;
pub mod icon;
pub mod lineage_strip;
pub mod live;
pub mod load;
pub mod number;
pub mod off;
pub mod page;
pub mod parts;
pub mod rail;
pub mod status;
pub mod stay;
pub mod sure;
pub mod theme;
pub mod topbar;
pub mod uploads;

pub use copy::Copy;
pub use draft::Draft;
pub use form::{Field, ProblemSummary};
pub use icon::Icon;
pub use lineage_strip::LineageStrip;
pub use live::on_change;
pub use load::{Load, LoadOnce, Refusal};
pub use number::{bytes, count, short_id};
pub use off::Off;
pub use page::{AdminPage, Crumb, Place, TenantPage, use_param, use_query, use_tenant};
pub use parts::{Empty, Pages, Reason, Sheet, When};
pub use status::{Chip, StateWord, Status};
pub use stay::Stay;
pub use sure::Sure;
