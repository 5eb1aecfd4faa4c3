//! Surfaces of widgets, as the routes have them: which address serves what.

use crate::checklist::{Surface, SurfaceKind};
use crate::config::{PathPattern, RouteHost, RouteSettings, Settings, WidgetPlace};
use embedgate_policy::origin::WIDGET_LABEL;
use embedgate_policy::verdict::Class;

/// The surfaces that have a fixed path, those that stand for their kind first.
pub(super) fn of(settings: &Settings) -> Vec<Surface> {
    let mut surfaces: Vec<Surface> = settings.routes.iter().filter_map(of_route).collect();
    // Of several assets, a script is the loader.
    surfaces.sort_by_key(|surface| surface.kind == SurfaceKind::Loader && !surface.path.ends_with(".js"));
    surfaces.push(of_path(SurfaceKind::Tickets, &settings.tickets.path));
    surfaces
}

fn of_path(kind: SurfaceKind, path: &PathPattern) -> Surface {
    Surface { kind, host: None, path: path.as_str().to_owned(), parameter: None, only: None }
}

fn of_route(route: &RouteSettings) -> Option<Surface> {
    if route.path.has_rest() {
        return None;
    }
    let kind = match route.class {
        Class::Asset => SurfaceKind::Loader,
        Class::Frame => SurfaceKind::Frame,
        Class::Session => SurfaceKind::Session,
        Class::Public => SurfaceKind::Public,
    };
    let mut surface = of_path(kind, &route.path);
    surface.host = match &route.host {
        RouteHost::Any => None,
        RouteHost::Exact(host) => Some(host.to_string()),
        RouteHost::ByWidget(parent) => Some(format!("{WIDGET_LABEL}{parent}")),
    };
    match &route.widget {
        WidgetPlace::Path | WidgetPlace::Host => {}
        WidgetPlace::Query(name) => surface.parameter = Some(name.to_string()),
        WidgetPlace::Fixed(id) => surface.only = Some(id.clone()),
    }
    Some(surface)
}
