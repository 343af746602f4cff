"""What tests share: songs, trials, results and studies made for them, servers, a browser."""
