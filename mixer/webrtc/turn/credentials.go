package turn

import (
	"crypto/hmac"
	"crypto/sha1" // what coturn and its clients use
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Credentials makes and reads the user names and passwords that a TURN server
// and whoever hands them out agree on by a shared secret, as coturn's
// use-auth-secret has it (draft-uberti-behave-turn-rest): the name is
// "TIME:USER" with the Unix time it ends, the password its HMAC-SHA1 in Base64.
type Credentials struct {
	Secret string
}

var (
	errMalformed = errors.New("user name is not of the form TIME:USER")
	errExpired   = errors.New("credentials have expired")
)

// maxUser bounds what is read as a user's name.
const maxUser = 128

// Make returns credentials of a user that hold until end.
func (c Credentials) Make(user string, end time.Time) (name, password string) {
	name = strconv.FormatInt(end.Unix(), 10) + ":" + user
	return name, c.password(name)
}

func (c Credentials) password(name string) string {
	mac := hmac.New(sha1.New, []byte(c.Secret))
	_, _ = mac.Write([]byte(name))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// user reads a name. It also returns the user of one that has expired.
func user(name string, now time.Time) (string, error) {
	text, user, ok := strings.Cut(name, ":")
	end, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || user == "" || len(user) > maxUser {
		return "", errMalformed
	}
	if end <= now.Unix() {
		return user, errExpired
	}
	return user, nil
}
