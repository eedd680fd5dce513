package login

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// tokens checks what a client has to check of an ID token that came from the
// issuer over TLS: that it is this issuer's, and for this client.
func (c Client) tokens(answer *oauth2.Token) (Tokens, map[string]any, error) {
	t := Tokens{Refresh: answer.RefreshToken}
	t.ID, _ = answer.Extra("id_token").(string)
	if t.ID == "" {
		return Tokens{}, nil, refused("the issuer gave no ID token", "ask its operator whether this client may have the scope openid")
	}
	claims, err := claimsOf(t.ID)
	if err != nil {
		return Tokens{}, nil, refused("the issuer's ID token cannot be read: "+err.Error(), "ask whoever runs the issuer")
	}
	if issuer, _ := claims["iss"].(string); issuer != c.Issuer {
		return Tokens{}, nil, refused("the ID token is of another issuer", "log in again")
	}
	if !isFor(claims["aud"], c.ID) {
		return Tokens{}, nil, refused("the ID token is for another client than "+quoted(c.ID), "log in again")
	}
	expires, ok := claims["exp"].(float64)
	if t.Subject, _ = claims["sub"].(string); !ok || t.Subject == "" {
		return Tokens{}, nil, refused("the ID token does not say of whom it is, or until when it is good", "ask whoever runs the issuer")
	}
	t.Expires = time.Unix(int64(expires), 0).UTC()
	return t, claims, nil
}

// SubjectOf is of whom an ID token is that was read before; empty when it cannot
// be read.
func SubjectOf(token string) string {
	claims, err := claimsOf(token)
	if err != nil {
		return ""
	}
	subject, _ := claims["sub"].(string)
	return subject
}

// claimsOf reads what a JWT says, without proving it.
func claimsOf(token string) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("it has not three parts")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, errors.New("it is not base64url")
	}
	var claims map[string]any
	if json.Unmarshal(text, &claims) != nil {
		return nil, errors.New("it is not JSON")
	}
	return claims, nil
}

func isFor(audience any, client string) bool {
	if one, ok := audience.(string); ok {
		return one == client
	}
	all, _ := audience.([]any)
	return slices.ContainsFunc(all, func(one any) bool { return one == client })
}
