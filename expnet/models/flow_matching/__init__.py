"""Motion that is drawn, not averaged: conditional flow matching over expression, head motion and lids."""
