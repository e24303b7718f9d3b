package server

import "github.com/coreos/go-systemd/v22/daemon"

// What systemd is told.
const (
	systemdReady    = daemon.SdNotifyReady
	systemdStopping = daemon.SdNotifyStopping
)

// notify tells systemd how the server is, where it started it and wants to know.
func (s *Server) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.o.Log.Warn("systemd cannot be told", "error", err.Error())
	}
}
