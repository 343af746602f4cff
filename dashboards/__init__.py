"""Pages for a browser. They are `musiclab.dashboards`: in a checkout by a link among the packages, and in the wheel."""
