from .links import viewer_links as viewer_links
from .widget import Viewer as Viewer
from .widget import view as view
