/*
 * Calls the NetServer services as a program on the npm package strong-soap does. README.md says what it is told and what it
 * prints.
 *
 *     node netserver_strong_soap.js LICENSE-WSDL PRINCIPAL-WSDL USER PASSWORD OWNER ASSOCIATE-ID
 */

'use strict';

const { soap, QName } = require('strong-soap');

function service(wsdl) {
    return new Promise((done, failed) => {
        soap.createClient(wsdl, {}, (error, client) => (error ? failed(error) : done(client)));
    });
}

// The Body of the answer, its header, and the message as it came.
function call(client, operation, given, ticket) {
    client.clearSoapHeaders();
    const namespace = client.wsdl.definitions.$targetNamespace;
    if (ticket) client.addSoapHeader({ Ticket: ticket }, new QName(namespace, 'Credentials', ''));
    return new Promise((done, failed) => {
        client[operation](given, (error, body, envelope, header) => (error ? failed(error) : done({ body, header, envelope })));
    });
}

async function main([licenseWsdl, principalWsdl, user, password, owner, associate]) {
    const principal = await service(principalWsdl);
    const license = await service(licenseWsdl);
    // strong-soap looks for an answer with the name of the operation, and sign-ins have AuthenticateResponse: it hands out
    // nothing but the message.
    const signIn = async (text) => {
        const { envelope } = await call(principal, 'AuthenticateUsernamePassword', { UserName: user, Password: text });
        const element = (name) => envelope.match(`<${name}>(.*)</${name}>`)?.[1];
        return { succeeded: element('AuthenticationSucceeded') === 'true', ticket: element('Ticket') };
    };

    const login = await signIn(password);
    const ticket = login.ticket;
    const ofOwner = { OwnerName: owner };
    const info = (await call(license, 'GetLicenseFromLicenseServer', ofOwner, ticket)).body.Response;
    const status = (await call(license, 'GetLicenseStatusFromLicenseServer', ofOwner, ticket)).body.Response;
    const modules = {
        AssociateId: Number(associate),
        ModuleOwner: owner,
        ModuleLicenseNames: { string: ['SQLBACKUP', 'EXCHANGEBACKUP'] },
    };
    const assigned = (await call(license, 'AssignThirdPartyLicenses', modules, ticket)).body.Response;
    const refused = await call(license, 'GetLicenseStatusFromLicenseServer', ofOwner, '7T:garbage');
    console.log(JSON.stringify({
        signed_in: login.succeeded,
        ticket,
        wrong_password: (await signIn(`${password}?`)).succeeded,
        company: info.Current.CompanyName,
        expires: info.Current.ExpiryDate.toISOString().replace('.000Z', 'Z'),
        modules: info.Current.ModuleLicenses.ModuleLicense.map((module) => module.ModuleName),
        free: info.ExtendedModuleLicenses.ExtendedModuleLicense.map((module) => module.NumberOfLicensesFree),
        status: status.LicenseStatus,
        assigned: assigned.ModuleLicenseLink.map((link) => link.Name),
        exception: refused.header.ExceptionInfo.ExceptionType,
    }));
}

main(process.argv.slice(2));
